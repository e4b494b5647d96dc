package server_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/jobs"
)

// shapedCustomer is a customer with what the filters go by.
type shapedCustomer struct {
	CustomerID    string
	Leaves, Roots []struct {
		Axis        struct{ Key string }
		Shape       *string
		Outlier     *bool
		Path        []struct{ ID string }
		Memberships []struct {
			Segment struct{ ID string }
			Score   float64
		}
	}
}

func (c *shapedCustomer) has(level engine.Level, shape string, axes ...string) bool {
	for i := range c.Leaves {
		part := &c.Leaves[i]
		if level == engine.LevelRoots {
			part = &c.Roots[i]
		}
		if part.Shape != nil && *part.Shape == shape && (axes == nil || slices.Contains(axes, part.Axis.Key)) {
			return true
		}
	}
	return false
}

func (c *shapedCustomer) outlier(axes ...string) bool {
	for _, part := range c.Leaves {
		if part.Outlier != nil && *part.Outlier && (axes == nil || slices.Contains(axes, part.Axis.Key)) {
			return true
		}
	}
	return false
}

func (c *shapedCustomer) holds(segment string, least float64) bool {
	for _, part := range c.Leaves {
		for _, m := range part.Memberships {
			if m.Segment.ID == segment && (m.Score >= least || part.Path[len(part.Path)-1].ID == segment) {
				return true
			}
		}
	}
	return false
}

// shaped reads all customers with their thumbprints.
func (a *api) shaped(t *testing.T) (list []shapedCustomer) {
	t.Helper()
	for after := (*string)(nil); ; {
		var got struct {
			Customers struct {
				Nodes    []shapedCustomer
				PageInfo struct {
					HasNextPage bool
					EndCursor   *string
				}
			}
		}
		a.data(t, &got, `query ($after: String) { customers(filter: { storeId: "past" }, first: 60, after: $after) {
  nodes { customerId
    leaves: thumbprint { axis { key } shape outlier path { id } memberships { segment { id } score } }
    roots: thumbprint(level: ROOTS) { axis { key } shape } }
  pageInfo { hasNextPage endCursor } } }`, map[string]any{"after": after})
		list = append(list, got.Customers.Nodes...)
		if after = got.Customers.PageInfo.EndCursor; !got.Customers.PageInfo.HasNextPage {
			return list
		}
	}
}

// filtered lists who a filter leaves, page by page, and holds the count to them.
func (a *api) filtered(t *testing.T, filter map[string]any) (list []string) {
	t.Helper()
	filter["storeId"] = "past"
	for after := (*string)(nil); ; {
		var got struct {
			Customers struct {
				TotalCount int
				Nodes      []struct{ CustomerID string }
				PageInfo   struct {
					HasNextPage bool
					EndCursor   *string
				}
			}
		}
		counter := pgtest.Queries(t, a.pool)
		a.data(t, &got, `query ($f: CustomerFilter, $after: String) { customers(filter: $f, first: 25, after: $after) { totalCount nodes { customerId } pageInfo { hasNextPage endCursor } } }`,
			map[string]any{"f": filter, "after": after})
		counter.AtMost(t, 4) // the store, the page, the count; and a model for segments
		for _, n := range got.Customers.Nodes {
			list = append(list, n.CustomerID)
		}
		if after = got.Customers.PageInfo.EndCursor; !got.Customers.PageInfo.HasNextPage {
			if got.Customers.TotalCount != len(list) {
				t.Errorf("%v: %d counted, %d listed", filter, got.Customers.TotalCount, len(list))
			}
			return list
		}
	}
}

// TestCustomersByShape holds lists of hybrids, outliers and members to the thumbprints of all customers: after a fit, and after snapshots.
func TestCustomersByShape(t *testing.T) {
	t.Parallel()
	a, store := newPastAPI(t)
	params := engine.DefaultParams()
	params.ChooseK, params.Starts, params.MaxIterations, params.MinSize, params.MaxVariance = false, 1, 20, 10, 0.1
	a.fitPastWith(t, store, 2, params)
	compare := func() {
		t.Helper()
		all := a.shaped(t)
		want := func(keep func(*shapedCustomer) bool) (list []string) {
			for i := range all {
				if keep(&all[i]) {
					list = append(list, all[i].CustomerID)
				}
			}
			return list
		}
		same := func(filter map[string]any, keep func(*shapedCustomer) bool) {
			t.Helper()
			if got, want := a.filtered(t, filter), want(keep); !slices.Equal(got, want) || len(want) == 0 || len(want) == len(all) {
				t.Errorf("%v: %d of %d customers, want %d", filter, len(got), len(all), len(want))
			}
		}
		const axis = "purchase_value"
		same(map[string]any{"shapes": []string{"HYBRID"}, "shapeAxes": []string{axis}}, func(c *shapedCustomer) bool { return c.has(engine.LevelLeaves, "HYBRID", axis) })
		same(map[string]any{"shapes": []string{"HYBRID", "DIFFUSE"}, "shapeAxes": []string{axis}, "shapeLevel": "ROOTS"}, func(c *shapedCustomer) bool {
			return c.has(engine.LevelRoots, "HYBRID", axis) || c.has(engine.LevelRoots, "DIFFUSE", axis)
		})
		same(map[string]any{"shapes": []string{"DIFFUSE"}}, func(c *shapedCustomer) bool { return c.has(engine.LevelLeaves, "DIFFUSE") })
		same(map[string]any{"outlier": true}, func(c *shapedCustomer) bool { return c.outlier() })
		same(map[string]any{"outlier": false, "shapes": []string{"HYBRID"}, "shapeAxes": []string{axis}}, func(c *shapedCustomer) bool {
			return !c.outlier(axis) && c.has(engine.LevelLeaves, "HYBRID", axis)
		})
		segment := all[0].Leaves[1].Memberships[1].Segment.ID
		same(map[string]any{"segmentIds": []string{segment}, "minMembership": 0.2}, func(c *shapedCustomer) bool { return c.holds(segment, 0.2) })

		var got struct {
			Store struct {
				Axes []struct {
					Key    string
					Shapes *struct{ Customers, Clear, Hybrid, Diffuse, Outliers int }
				}
			}
		}
		counter := pgtest.Queries(t, a.pool)
		a.data(t, &got, `{ store(key: "past") { axes { key shapes { customers clear hybrid diffuse outliers } } } }`, nil)
		counter.AtMost(t, 3)
		for _, axis := range got.Store.Axes {
			s := axis.Shapes
			count := func(keep func(*shapedCustomer) bool) int { return len(want(keep)) }
			if s == nil {
				if n := count(func(c *shapedCustomer) bool { return c.has(engine.LevelLeaves, "CLEAR", axis.Key) }); n > 0 {
					t.Errorf("%s tells no shapes", axis.Key)
				}
				continue
			}
			hybrid := count(func(c *shapedCustomer) bool { return c.has(engine.LevelLeaves, "HYBRID", axis.Key) })
			outliers := count(func(c *shapedCustomer) bool { return c.outlier(axis.Key) })
			if s.Clear+s.Hybrid+s.Diffuse != s.Customers || s.Hybrid != hybrid || s.Outliers != outliers {
				t.Errorf("%s: %+v, want %d hybrids and %d outliers", axis.Key, *s, hybrid, outliers)
			}
		}
	}
	compare()
	run, err := a.queue.SnapshotStore(t.Context(), jobs.SnapshotRequest{Store: store, Type: engine.Daily, Trigger: engine.TriggerCLI})
	check(t, err)
	_, err = a.pool.Exec(t.Context(), "UPDATE customer_state SET mark = NULL")
	check(t, err)
	check(t, a.queue.Work(t.Context(), run, nil))
	compare()

	for _, filter := range []string{`minMembership: 0.5`, `segmentIds: [], minMembership: 0`, `shapeAxes: ["purchase_value"]`, `shapeLevel: ROOTS`, `shapes: [CLEAR], shapeAxes: ["none"]`} {
		if r := a.query(t, fmt.Sprintf(`{ customers(filter: { storeId: "past", %s }, first: 1) { totalCount } }`, filter), nil); !slices.Equal(r.codes(), []string{"BAD_USER_INPUT"}) {
			t.Errorf("%s gave %s", filter, r.Text)
		}
	}
	if r := a.query(t, `{ customers(filter: { storeId: "past", shapes: [HYBRID] }, asOf: "1998-06-01", first: 1) { totalCount } }`, nil); !slices.Equal(r.codes(), []string{"BAD_USER_INPUT"}) {
		t.Errorf("of a past day: %s", r.Text)
	}
}
