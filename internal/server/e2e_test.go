package server_test

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/jobs"
)

// sampleCustomers is how many customers the CDNOW sample has.
const sampleCustomers = 2357

// TestCDNOW goes the whole way on a real shop: what the command line does by the jobs, all else by the API.
func TestCDNOW(t *testing.T) {
	t.Parallel()
	a := newEmptyAPI(t)
	store := a.importSample(t)
	a.work(t)
	a.reclusterSample(t)
	a.replaySample(t, store)
	t.Run("reads", func(t *testing.T) { a.testReads(t) })
	t.Run("explains", func(t *testing.T) { a.testExplains(t, store) })
	t.Run("predictions", func(t *testing.T) { a.testPredictions(t) })
	t.Run("risk", func(t *testing.T) { a.testRiskWeights(t) })
	t.Run("backtest", func(t *testing.T) { a.testBacktest(t) })
	t.Run("journeys", func(t *testing.T) { a.testJourneys(t) })
	t.Run("cohorts", func(t *testing.T) { a.testCohorts(t) })
	t.Run("alarms", func(t *testing.T) { a.testAlarms(t, store) })
	t.Run("createSnapshot", func(t *testing.T) { a.testCreateSnapshot(t) })
	t.Run("createSnapshots of named customers", func(t *testing.T) { a.testNamedSnapshots(t) })
	t.Run("createSnapshots of the store", func(t *testing.T) { a.testStoreSnapshots(t) })
	t.Run("cleanupSnapshots", func(t *testing.T) { a.testCleanup(t, store) })
	t.Run("refused", func(t *testing.T) { a.testRefused(t) })
}

func (a *api) importSample(t *testing.T) *engine.Store {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", "cdnow_sample.csv.gz")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: the tests need ../shared beside the repository", path)
		}
		t.Skipf("%s is not there", path)
	}
	store, err := a.db.EnsureStore(t.Context(), "cdnow")
	check(t, err)
	source := jobs.Source{Name: filepath.Base(path), Open: func() (io.ReadCloser, error) { return ingest.Open(path) }}
	_, err = a.queue.Import(t.Context(), store, []jobs.Source{source}, ingest.Options{}, nil, nil)
	check(t, err)
	store, err = a.db.StoreByKey(t.Context(), "cdnow")
	check(t, err)
	return store
}

func (a *api) reclusterSample(t *testing.T) {
	t.Helper()
	var started struct {
		Recluster struct {
			Run        struct{ ID, State string }
			UserErrors []any
		}
	}
	a.data(t, &started, `mutation { recluster(input: {storeId: "cdnow", seed: 1}) { run { id state } userErrors { code } } }`, nil)
	if state := started.Recluster.Run.State; state != "QUEUED" {
		t.Errorf("recluster answered when its run was %s: it does not wait", state)
	}
	a.followed(t, started.Recluster.Run.ID)
	var got struct {
		Store struct {
			Model struct{ Version, Customers int }
			Axes  []struct{ Status string }
		}
	}
	a.data(t, &got, `{ store(key: "cdnow") { model { version customers } axes { status } } }`, nil)
	on := 0
	for _, axis := range got.Store.Axes {
		if axis.Status == "ON" {
			on++
		}
	}
	if got.Store.Model.Version != 1 || got.Store.Model.Customers != sampleCustomers || on != 6 || len(got.Store.Axes) != engine.AxisCount {
		t.Errorf("%+v, %d axes on, want model 1 of %d customers with 6 of %d axes on", got, on, sampleCustomers, engine.AxisCount)
	}
}

// followed waits by the subscription until a run has succeeded.
func (a *api) followed(t *testing.T, run string) {
	t.Helper()
	socket := a.dial(t)
	subscribe(t, socket, run)
	if last := follow(t, socket); last.State != "SUCCEEDED" {
		t.Fatalf("the run ended as %+v", last)
	}
}

func (a *api) replaySample(t *testing.T, store *engine.Store) {
	t.Helper()
	from, to := engine.NewDate(1998, time.January, 1), engine.NewDate(1998, time.July, 1)
	run, err := a.queue.Replay(t.Context(), jobs.ReplayRequest{Store: store, Type: engine.Weekly, From: from, To: to, Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, a.queue.Work(t.Context(), run, nil))
	var got struct {
		Store struct {
			LatestRun struct {
				State  string
				Dates  []string
				Counts counts
			}
		}
	}
	a.data(t, &got, `{ store(key: "cdnow") { latestRun(kind: REPLAY) { state ... on ReplayRun { dates counts { created kept replaced failed } } } } }`, nil)
	latest := got.Store.LatestRun
	want := counts{Created: fmt.Sprint(weeks * sampleCustomers), Kept: "0", Replaced: "0", Failed: "0"}
	if latest.State != "SUCCEEDED" || len(latest.Dates) != weeks || latest.Counts != want {
		t.Fatalf("the replay is %+v, want %+v", latest, want)
	}
}

type counts struct{ Created, Kept, Replaced, Failed string }

// testReads holds the dashboard's queries to five statements that read data, at any page size.
func (a *api) testReads(t *testing.T) {
	names := a.greatest(t, 3)
	queries := map[string]string{
		"timeline": `query ($customer: String!, $first: Int!) { customer(by: {key: {storeId: "cdnow", customerId: $customer}}) {
  customerId orderCount totalValue
  timeline { dates overallDriftScores orders totalValues axes { axis { key } status dominantPaths driftScores series { segment { name path } scores } } driftEvents { toDate score fromSegment { name } toSegment { name } } }
  snapshots(type: WEEKLY, first: $first) { nodes { date dominantPaths } } } }`,
		"customers": `query ($first: Int!) { customers(filter: {storeId: "cdnow"}, orderBy: {field: TOTAL_VALUE, direction: DESC}, first: $first) {
  nodes { customerId totalValue dominantPaths thumbprint { axis { key } dominant { name path } confidence } latestSnapshot { date ordersAtSnapshot dominantPaths } } pageInfo { hasNextPage endCursor } } }`,
		"segments": `query ($first: Int!) { store(key: "cdnow") { axis(key: "purchase_frequency") { status segmentTree { path name memberCount share parent { path } children { path } subdivision { divided triggers stoppedBy } profile { medianOrders features { feature qualifier } } }
  segment(key: "seg_0") { path members(first: $first) { edges { membership node { customerId totalValue } } pageInfo { endCursor } } } } } }`,
		"events": `query ($first: Int!) { driftEvents(filter: {storeId: "cdnow", directions: [IMPROVING, WORSENING]}, first: $first) {
  nodes { toDate score direction acceleration churnRiskChange customer { customerId } axis { key } toSegment { name } } pageInfo { endCursor } } }`,
		"drift": `query ($first: Int!) { driftEvents(filter: {storeId: "cdnow"}, first: $first) {
  nodes { toDate score severity customer { customerId totalValue } axis { key } fromSegment { name } toSegment { name } overall { score } } pageInfo { endCursor } } }`,
	}
	for name, query := range queries {
		used := map[int]int{} // statements by page size
		for _, size := range []int{10, 50, 100} {
			counter := pgtest.Queries(t, a.pool)
			r := a.query(t, query, map[string]any{"customer": names[0], "first": size})
			if len(r.Errors) > 0 {
				t.Errorf("%s of %d: %.600s", name, size, r.Text)
				continue
			}
			counter.AtMost(t, 5)
			used[size] = len(counter.Reads())
		}
		t.Logf("%s: statements by page size: %v", name, used)
	}
	a.testTimeline(t, names[0])
	a.testCustomers(t)
	a.testTree(t)
	a.testDirections(t)
	a.testFilledIn(t)
	a.testSubSegments(t)
}

// greatest gives the names of the n customers of the greatest value.
func (a *api) greatest(t *testing.T, n int) []string {
	t.Helper()
	var got struct {
		Customers struct {
			TotalCount int
			Nodes      []struct{ CustomerID string }
		}
	}
	a.data(t, &got, `query ($n: Int!) { customers(filter: {storeId: "cdnow"}, orderBy: {field: TOTAL_VALUE, direction: DESC}, first: $n) { totalCount nodes { customerId } } }`, map[string]any{"n": n})
	if got.Customers.TotalCount != sampleCustomers || len(got.Customers.Nodes) != n {
		t.Fatalf("%d customers, %d on the page", got.Customers.TotalCount, len(got.Customers.Nodes))
	}
	names := make([]string, n)
	for i := range names {
		names[i] = got.Customers.Nodes[i].CustomerID
	}
	return names
}

func (a *api) testTimeline(t *testing.T, name string) {
	t.Helper()
	var got struct {
		Customer struct {
			Timeline struct {
				Dates       []string
				TotalValues []string
				Axes        []struct {
					Status        string
					DominantPaths []*string
					SegmentPaths  []string
					Scores        [][]*float64
					Series        []struct {
						Segment struct{ Path string }
						Scores  []*float64
					}
				}
			}
		}
	}
	a.data(t, &got, `query ($c: String!) { customer(by: {key: {storeId: "cdnow", customerId: $c}}) { timeline { dates totalValues axes { status dominantPaths segmentPaths scores series { segment { path } scores } } } } }`, map[string]any{"c": name})
	line := got.Customer.Timeline
	if len(line.Dates) != weeks || line.Dates[0] != "1998-01-04" || line.Dates[weeks-1] != "1998-06-28" || len(line.TotalValues) != weeks {
		t.Fatalf("dates %v, %d values", line.Dates, len(line.TotalValues))
	}
	for i, axis := range line.Axes {
		if axis.Status != "ON" {
			continue
		}
		if len(axis.Series) == 0 || len(axis.DominantPaths) != weeks {
			t.Errorf("axis %d: %d series, %d paths", i, len(axis.Series), len(axis.DominantPaths))
			continue
		}
		var paths []string
		var rows [][]*float64
		for _, s := range axis.Series {
			paths, rows = append(paths, s.Segment.Path), append(rows, s.Scores)
		}
		if !slices.Equal(paths, axis.SegmentPaths) || !cmp.Equal(rows, axis.Scores) {
			t.Errorf("axis %d: the series and the table of scores differ", i)
		}
		for w := range weeks {
			sum, known := 0.0, false
			for _, s := range axis.Series {
				if s.Scores[w] != nil {
					sum, known = sum+*s.Scores[w], true
				}
			}
			if known != (axis.DominantPaths[w] != nil) || known && (sum < 0.999 || sum > 1.001) {
				t.Errorf("axis %d on %s: memberships sum to %g, path %v", i, line.Dates[w], sum, axis.DominantPaths[w])
			}
		}
	}
}

func (a *api) testCustomers(t *testing.T) {
	t.Helper()
	var got struct {
		Customers struct {
			Nodes []struct {
				CustomerID, TotalValue string
				DominantPaths          []*string
				LatestSnapshot         *struct {
					Date          string
					DominantPaths []*string
				}
			}
		}
	}
	a.data(t, &got, `{ customers(filter: {storeId: "cdnow"}, first: 50) { nodes { customerId totalValue dominantPaths latestSnapshot { date dominantPaths } } } }`, nil)
	if len(got.Customers.Nodes) != 50 {
		t.Fatalf("%d customers", len(got.Customers.Nodes))
	}
	for _, c := range got.Customers.Nodes {
		if c.LatestSnapshot == nil || c.LatestSnapshot.Date != "1998-06-28" || len(c.LatestSnapshot.DominantPaths) != engine.AxisCount {
			t.Errorf("customer %s has the newest snapshot %+v", c.CustomerID, c.LatestSnapshot)
		}
		if !slices.ContainsFunc(c.DominantPaths, func(p *string) bool { return p != nil }) {
			t.Errorf("customer %s stands nowhere", c.CustomerID)
		}
	}
}

func (a *api) testTree(t *testing.T) {
	t.Helper()
	var got struct {
		Store struct {
			Axis struct {
				SegmentTree []struct {
					Path, Name  string
					Depth       int
					MemberCount int
					IsLeaf      bool
					Parent      *struct{ Path string }
					Children    []struct{ Path string }
				}
			}
		}
	}
	a.data(t, &got, `{ store(key: "cdnow") { axis(key: "purchase_frequency") { segmentTree { path name depth memberCount isLeaf parent { path } children { path } } } } }`, nil)
	leaves := 0
	for _, s := range got.Store.Axis.SegmentTree {
		if s.Name == "" || (s.Depth == 0) != (s.Parent == nil) || s.IsLeaf != (len(s.Children) == 0) {
			t.Errorf("segment %+v", s)
		}
		if s.IsLeaf {
			leaves += s.MemberCount
		}
	}
	if leaves == 0 || leaves > sampleCustomers {
		t.Errorf("the leaves have %d members", leaves)
	}
}

// testSubSegments reads the leaves of every axis with what the command segments prints, and the report on repeat customers.
func (a *api) testSubSegments(t *testing.T) {
	t.Helper()
	type profile struct {
		MinOrders, MaxOrders         int
		MedianOrders, OrdersPerMonth float64
		MedianValue, TotalValue      string
		Features                     []struct{ Feature string }
	}
	var got struct {
		Store struct {
			Axes []struct {
				Key, Status string
				SegmentTree []struct {
					MemberCount int
					Share       float64
					Profile     profile
					Subdivision struct{ StoppedBy *string }
				}
			}
			Model struct {
				SubSegments []struct {
					Path, Name    string
					IsExceptional bool
					MemberCount   int
					Share         float64
					Profile       profile
					Subdivision   struct{ Divided bool }
				}
			}
		}
	}
	a.data(t, &got, `{ store(key: "cdnow") {
  axes { key status segmentTree(leavesOnly: true) { memberCount share profile { ...all } subdivision { stoppedBy } } }
  model { subSegments(report: REPEAT_CUSTOMERS) { path name isExceptional memberCount share profile { ...all } subdivision { divided } } } } }
fragment all on SegmentProfile { minOrders maxOrders medianOrders ordersPerMonth medianValue totalValue features { feature } }`, nil)
	whole := func(what string, p profile) {
		if p.MinOrders < 1 || p.MedianOrders < float64(p.MinOrders) || p.MedianOrders > float64(p.MaxOrders) || !(p.OrdersPerMonth > 0) || p.MedianValue == "" || p.TotalValue == "" {
			t.Errorf("%s: %+v", what, p)
		}
	}
	for _, axis := range got.Store.Axes {
		share := 0.0
		for _, leaf := range axis.SegmentTree {
			share += leaf.Share
			whole(axis.Key, leaf.Profile)
		}
		if (axis.Status == "ON") != (math.Abs(share-1) < 1e-9) {
			t.Errorf("%s is %s, and its leaves' shares sum to %v", axis.Key, axis.Status, share)
		}
	}
	members, exceptional := 0, 0
	for _, s := range got.Store.Model.SubSegments {
		members += s.MemberCount
		whole(s.Path, s.Profile)
		if s.IsExceptional {
			exceptional += s.MemberCount
		}
		if s.Name == "" || s.Subdivision.Divided || s.Profile.MinOrders < 2 || s.Profile.Features[0].Feature == "" {
			t.Errorf("%+v", s)
		}
	}
	// 1,139 customers of the sample bought on two days or more.
	if members != 1139 || exceptional == 0 || exceptional > 11 {
		t.Errorf("%d repeat customers, %d of them exceptional", members, exceptional)
	}
}

// userError is a typed error of a payload.
type userError struct {
	Typename string   `json:"__typename"`
	Field    []string `json:"field"`
	Snapshot *struct{ ID string }
}

const asUserErrors = `userErrors { __typename field ... on SnapshotExistsError { snapshot { id } } }`

func (a *api) testCreateSnapshot(t *testing.T) {
	name := a.greatest(t, 1)[0]
	type payload struct {
		Snapshot *struct {
			ID, Date, CreatedAt string
			Replayed            bool
		}
		Created    bool
		UserErrors []userError
	}
	var got struct{ First, Kept, Failed, Replaced, Early payload }
	const ask = `%s: createSnapshot(input: {customer: {key: {storeId: "cdnow", customerId: $c}}, type: DAILY, date: "%s", onConflict: %s}) {
  snapshot { id date createdAt replayed } created ` + asUserErrors + ` } `
	query := "mutation ($c: String!) { " + fmt.Sprintf(ask, "first", "1998-06-30", "KEEP") + fmt.Sprintf(ask, "kept", "1998-06-30", "KEEP") +
		fmt.Sprintf(ask, "failed", "1998-06-30", "FAIL") + fmt.Sprintf(ask, "replaced", "1998-06-30", "REPLACE") + fmt.Sprintf(ask, "early", "1996-12-31", "KEEP") + "}"
	a.data(t, &got, query, map[string]any{"c": name})
	if got.First.Snapshot == nil || !got.First.Created || got.First.Snapshot.Date != "1998-06-30" || got.First.Snapshot.Replayed {
		t.Fatalf("first: %+v", got.First)
	}
	if got.Kept.Created || got.Kept.Snapshot == nil || *got.Kept.Snapshot != *got.First.Snapshot {
		t.Errorf("kept: %+v", got.Kept)
	}
	if e := got.Failed.UserErrors; got.Failed.Created || got.Failed.Snapshot != nil || len(e) != 1 || e[0].Typename != "SnapshotExistsError" || e[0].Snapshot == nil || e[0].Snapshot.ID != got.First.Snapshot.ID {
		t.Errorf("failed: %+v", got.Failed)
	}
	// The same document has read the snapshot before it was replaced.
	if s := got.Replaced.Snapshot; !got.Replaced.Created || s == nil || s.ID != got.First.Snapshot.ID || s.CreatedAt == got.First.Snapshot.CreatedAt {
		t.Errorf("replaced: %+v after %+v", got.Replaced.Snapshot, got.First.Snapshot)
	}
	if e := got.Early.UserErrors; got.Early.Created || got.Early.Snapshot != nil || len(e) != 1 || e[0].Typename != "InsufficientDataError" {
		t.Errorf("early: %+v", got.Early)
	}
}

// named is the answer of createSnapshots with names.
type named struct {
	Run        *struct{ ID string }
	Counts     *counts
	UserErrors []userError
}

func (a *api) createNamed(t *testing.T, names []string, kind, date, conflict string) named {
	t.Helper()
	var got struct{ CreateSnapshots named }
	a.data(t, &got, `mutation ($in: CreateSnapshotsInput!) { createSnapshots(input: $in) { run { id } counts { created kept replaced failed } `+asUserErrors+` } }`,
		map[string]any{"in": map[string]any{"storeId": "cdnow", "customerIds": names, "type": kind, "date": date, "onConflict": conflict}})
	return got.CreateSnapshots
}

func (a *api) testNamedSnapshots(t *testing.T) {
	names := a.greatest(t, 4)
	got := a.createNamed(t, []string{names[0], "nobody", names[1], names[0]}, "MONTHLY", "1998-06-01", "KEEP")
	want := counts{Created: "2", Kept: "0", Replaced: "0", Failed: "1"}
	if got.Counts == nil || *got.Counts != want || got.Run != nil || len(got.UserErrors) != 1 || got.UserErrors[0].Typename != "NotFoundError" {
		t.Fatalf("some are not there: %+v", got)
	}
	got = a.createNamed(t, []string{names[2], names[1], names[3]}, "MONTHLY", "1998-06-01", "FAIL")
	want = counts{Created: "2", Kept: "0", Replaced: "0", Failed: "1"}
	if got.Counts == nil || *got.Counts != want {
		t.Fatalf("one has a snapshot: %+v", got)
	}
	if e := got.UserErrors; len(e) != 1 || e[0].Typename != "SnapshotExistsError" || e[0].Snapshot == nil || cmp.Diff(e[0].Field, []string{"input", "customerIds", "1"}) != "" {
		t.Errorf("one has a snapshot: %+v", got.UserErrors)
	}
	got = a.createNamed(t, names, "MONTHLY", "1998-06-01", "REPLACE")
	if want = (counts{Created: "0", Kept: "0", Replaced: "4", Failed: "0"}); got.Counts == nil || *got.Counts != want || len(got.UserErrors) > 0 {
		t.Errorf("replaced: %+v", got)
	}
	got = a.createNamed(t, names[:1], "MONTHLY", "1996-12-01", "KEEP")
	if e := got.UserErrors; len(e) != 1 || e[0].Typename != "InsufficientDataError" || cmp.Diff(e[0].Field, []string{"input", "customerIds", "0"}) != "" {
		t.Errorf("before the first purchase: %+v", got)
	}
}

func (a *api) testStoreSnapshots(t *testing.T) {
	const query = `mutation { createSnapshots(input: {storeId: "cdnow", type: QUARTERLY, idempotencyKey: "one"}) { run { id date counts { created } } counts { created } userErrors { code } } }`
	var ids []string
	for range 2 { // the second by the same key gives the first again
		var got struct {
			CreateSnapshots struct {
				Run        *struct{ ID, Date string }
				Counts     *counts
				UserErrors []any
			}
		}
		a.data(t, &got, query, nil)
		if p := got.CreateSnapshots; p.Run == nil || p.Counts != nil || len(p.UserErrors) > 0 || p.Run.Date != "1998-07-01" {
			t.Fatalf("%+v", p)
		}
		ids = append(ids, got.CreateSnapshots.Run.ID)
	}
	if ids[0] != ids[1] {
		t.Errorf("one key gave the runs %v", ids)
	}
	a.followed(t, ids[0])
	var done struct{ Run struct{ Counts counts } }
	a.data(t, &done, `query ($id: ID!) { run(id: $id) { ... on SnapshotRun { counts { created kept replaced failed } } } }`, map[string]any{"id": ids[0]})
	if want := (counts{Created: fmt.Sprint(sampleCustomers), Kept: "0", Replaced: "0", Failed: "0"}); done.Run.Counts != want {
		t.Errorf("the run wrote %+v, want %+v", done.Run.Counts, want)
	}
}

type cleanup struct {
	DeletedCount string
	Policies     []struct{ DeletedCount, ReplayedCount, Cutoff string }
}

func (a *api) testCleanup(t *testing.T, store *engine.Store) {
	// One live daily snapshot that is older than the seven days for which daily ones are kept.
	if got := a.createNamed(t, a.greatest(t, 1), "DAILY", "1998-06-01", "KEEP"); got.Counts == nil || got.Counts.Created != "1" {
		t.Fatalf("%+v", got)
	}
	const query = `mutation ($dry: Boolean!, $replayed: Boolean!) { cleanupSnapshots(input: {storeId: "cdnow", types: [DAILY, WEEKLY], dryRun: $dry, includeReplayed: $replayed}) {
  run { id } report { deletedCount policies { deletedCount replayedCount cutoff } } userErrors { code } } }`
	clean := func(dry, replayed bool) (run *struct{ ID string }, report *cleanup) {
		var got struct {
			CleanupSnapshots struct {
				Run        *struct{ ID string }
				Report     *cleanup
				UserErrors []any
			}
		}
		a.data(t, &got, query, map[string]any{"dry": dry, "replayed": replayed})
		if p := got.CleanupSnapshots; len(p.UserErrors) > 0 || (p.Run == nil) != dry || (p.Report == nil) == dry {
			t.Fatalf("dry %v: %+v", dry, p)
		}
		return got.CleanupSnapshots.Run, got.CleanupSnapshots.Report
	}
	count, _, _, err := a.db.SnapshotSpan(t.Context(), store.ID)
	check(t, err)
	_, live := clean(true, false)
	if live.DeletedCount != "1" || len(live.Policies) != 2 || live.Policies[1].DeletedCount != "0" || live.Policies[1].ReplayedCount == "0" {
		t.Fatalf("the plan without replayed ones: %+v", live)
	}
	run, _ := clean(false, false)
	a.followed(t, run.ID)
	a.cleaned(t, run.ID, live.DeletedCount)
	_, all := clean(true, true)
	if all.DeletedCount != live.Policies[1].ReplayedCount {
		t.Errorf("the plan with replayed ones: %+v after %+v", all, live)
	}
	run, _ = clean(false, true)
	a.followed(t, run.ID)
	a.cleaned(t, run.ID, all.DeletedCount)
	left, _, _, err := a.db.SnapshotSpan(t.Context(), store.ID)
	check(t, err)
	if fmt.Sprint(count-left-1) != all.DeletedCount {
		t.Errorf("%d of %d snapshots are left, want 1 and %s less", left, count, all.DeletedCount)
	}
}

// cleaned holds a cleanup to what was planned.
func (a *api) cleaned(t *testing.T, run, want string) {
	t.Helper()
	var done struct{ Run struct{ Report cleanup } }
	a.data(t, &done, `query ($id: ID!) { run(id: $id) { ... on CleanupRun { report { deletedCount policies { deletedCount replayedCount cutoff } } } } }`, map[string]any{"id": run})
	if done.Run.Report.DeletedCount != want {
		t.Errorf("the run removed %+v, want %s as planned", done.Run.Report, want)
	}
}

func (a *api) testRefused(t *testing.T) {
	_, err := a.db.EnsureStore(t.Context(), "empty")
	check(t, err)
	cases := []struct{ name, query, want, field string }{
		{"recluster of an unknown store", `recluster(input: {storeId: "nowhere"})`, "NotFoundError", `["input","storeId"]`},
		{"recluster of a store without orders", `recluster(input: {storeId: "empty"})`, "InsufficientDataError", ""},
		{"snapshots of an unknown store", `createSnapshots(input: {storeId: "nowhere", type: DAILY})`, "NotFoundError", `["input","storeId"]`},
		{"snapshots of a store without orders", `createSnapshots(input: {storeId: "empty", type: DAILY})`, "InsufficientDataError", ""},
		{"snapshots of tomorrow", `createSnapshots(input: {storeId: "cdnow", type: DAILY, date: "2030-01-01"})`, "InvalidInputError", `["input","date"]`},
		{"snapshot of an unknown customer", `createSnapshot(input: {customer: {key: {storeId: "cdnow", customerId: "nobody"}}})`, "NotFoundError", `["input","customer"]`},
		{"snapshot by a malformed id", `createSnapshot(input: {customer: {id: "abc"}})`, "InvalidInputError", `["input","customer"]`},
		{"snapshot of tomorrow", `createSnapshot(input: {customer: {key: {storeId: "cdnow", customerId: "` + a.greatest(t, 1)[0] + `"}}, date: "2030-01-01"})`, "InvalidInputError", `["input","date"]`},
		{"cleanup of an unknown store", `cleanupSnapshots(input: {storeId: "nowhere"})`, "NotFoundError", `["input","storeId"]`},
		{"cancel of a malformed id", `cancelRun(input: {runId: "abc"})`, "InvalidInputError", `["input","runId"]`},
	}
	for _, c := range cases {
		r := a.query(t, "mutation { "+c.query+" { userErrors { __typename message field } } }", nil)
		if len(r.Errors) > 0 || !strings.Contains(r.Text, `"`+c.want+`"`) || !strings.Contains(r.Text, c.field) {
			t.Errorf("%s: want %s at %s, got %s", c.name, c.want, c.field, r.Text)
		}
	}
}
