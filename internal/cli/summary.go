package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

const (
	summaryRows  = 8
	weekEvents   = 20_000 // more events of one week than a summary looks at
	riskOrders   = 3
	riskGaps     = 3
	hoursPerDay  = 24
	shownOfAxis  = 4
	movesOfAxis  = 2 // or one axis would often fill the list
	percentScale = 100
)

// summary is what the demonstration shows.
type summary struct {
	Store        string                    `json:"store"`
	Imported     int64                     `json:"imported"`
	Changed      int64                     `json:"changed"`
	Customers    int                       `json:"customers"`
	ModelVersion int                       `json:"model_version"`
	Axes         []axisSummary             `json:"axes"`
	Snapshots    int64                     `json:"snapshots"`
	DriftEvents  int64                     `json:"drift_events"`
	Week         engine.Date               `json:"week"`
	Moves        []move                    `json:"moves"`
	AtRiskCount  int                       `json:"at_risk_count"`
	AtRisk       []riskyCustomer           `json:"at_risk"`
	Planted      map[string]map[string]int `json:"planted"`
	Stages       []stage                   `json:"stages"`
}

type axisSummary struct {
	axisResult
	Roots []segmentSummary `json:"roots"`
}

type segmentSummary struct {
	Name    string  `json:"name"`
	Members int     `json:"members"`
	Share   float64 `json:"share"`
}

type move struct {
	Customer string          `json:"customer"`
	Axis     string          `json:"axis"`
	From     string          `json:"from"`
	To       string          `json:"to"`
	Score    float64         `json:"score"`
	Severity engine.Severity `json:"severity"`
}

type riskyCustomer struct {
	Customer   string  `json:"customer"`
	Purchases  int     `json:"purchases"`
	ValueCents int64   `json:"value_cents"`
	UsualDays  float64 `json:"usual_gap_days"`
	SilentDays float64 `json:"silent_days"`
}

// summarise reads what the model and the newest week say.
func (a *app) summarise(o *office, store *engine.Store, version int, now, week engine.Date) (*summary, error) {
	model, err := o.db.Model(a.ctx, store.ID, version)
	if err != nil {
		return nil, err
	}
	s := &summary{Store: store.Key, Customers: model.Customers, ModelVersion: version, Week: week, Axes: axisSummaries(model.Model), AtRisk: []riskyCustomer{}}
	byOrder, changed := true, true
	found, err := o.db.DriftFeed(a.ctx, []int32{store.ID}, postgres.DriftQuery{
		MinSeverity: engine.SeverityModerate, ByOrder: &byOrder, SegmentChanged: &changed, Type: engine.Weekly, From: week, To: week + 1,
		Window: postgres.Window{Limit: weekEvents},
	})
	if err != nil {
		return nil, err
	}
	s.Moves = largestMoves(model.Model, found)
	asOf := now.In(store.Zone)
	risky, total, err := o.db.SilentCustomers(a.ctx, postgres.SilentQuery{StoreID: store.ID, AsOf: asOf, MinOrders: riskOrders, Gaps: riskGaps, Limit: summaryRows})
	if err != nil {
		return nil, err
	}
	s.AtRiskCount = total
	for _, c := range risky {
		s.AtRisk = append(s.AtRisk, riskyCustomer{
			Customer: c.Key, Purchases: c.Orders, ValueCents: c.ValueCents,
			UsualDays: days(c.LastOrderAt.Sub(c.FirstOrderAt)) / float64(c.Orders-1), SilentDays: days(asOf.Sub(c.LastOrderAt)),
		})
	}
	return s, nil
}

func days(d time.Duration) float64 { return d.Hours() / hoursPerDay }

func axisSummaries(model *engine.Model) []axisSummary {
	var list []axisSummary
	for i, result := range axisResults(model) {
		axis := axisSummary{axisResult: result, Roots: []segmentSummary{}}
		for _, segment := range model.Axes[i].Segments {
			if segment.Parent < 0 {
				axis.Roots = append(axis.Roots, segmentSummary{segment.Name, segment.Members, segment.Share})
			}
		}
		list = append(list, axis)
	}
	return list
}

// largestMoves gives the greatest moves, one a customer and two an axis, the greatest first. Events of another model are left out: its
// segments are not the ones that are shown.
func largestMoves(model *engine.Model, found []*postgres.ListedEvent) []move {
	found = slices.DeleteFunc(slices.Clone(found), func(e *postgres.ListedEvent) bool { return e.ModelVersion != model.Version })
	slices.SortFunc(found, func(x, y *postgres.ListedEvent) int {
		return cmp.Or(cmp.Compare(y.Score, x.Score), cmp.Compare(y.Customer.ValueCents, x.Customer.ValueCents), cmp.Compare(x.Customer.Key, y.Customer.Key))
	})
	moves := []move{}
	seen, ofAxis := map[string]bool{}, map[int]int{}
	for _, e := range found {
		if len(moves) == summaryRows {
			break
		}
		segments := model.Axes[e.Axis].Segments
		if seen[e.Customer.Key] || ofAxis[e.Axis] == movesOfAxis || e.FromSegment >= len(segments) || e.ToSegment >= len(segments) {
			continue
		}
		seen[e.Customer.Key] = true
		ofAxis[e.Axis]++
		moves = append(moves, move{
			Customer: e.Customer.Key, Axis: engine.Axes[e.Axis].Name, From: segments[e.FromSegment].Name, To: segments[e.ToSegment].Name,
			Score: e.Score, Severity: engine.SeverityOf(e.Score),
		})
	}
	return moves
}

func (s *summary) describe(w io.Writer) {
	fmt.Fprintf(w, "\nSegments of %s customers (model %d)\n", number(int64(s.Customers)), s.ModelVersion)
	for _, axis := range s.Axes {
		if axis.Status != engine.AxisOn {
			fmt.Fprintf(w, "  %-22s off: %s\n", axis.Name, *axis.Reason)
			continue
		}
		var roots []string
		for _, r := range axis.Roots[:min(len(axis.Roots), shownOfAxis)] {
			roots = append(roots, fmt.Sprintf("%s %.0f %%", r.Name, percentScale*r.Share))
		}
		if more := len(axis.Roots) - shownOfAxis; more > 0 {
			roots = append(roots, fmt.Sprintf("%d more", more))
		}
		fmt.Fprintf(w, "  %-22s %s\n", axis.Name, strings.Join(roots, " · "))
	}
	fmt.Fprintf(w, "\nLargest moves of the week to %s, two an axis (of %s drift events in %d weeks)\n", s.Week, number(s.DriftEvents), demoWeeks)
	for _, m := range s.Moves {
		fmt.Fprintf(w, "  %-12s %-22s %s -> %s (%.2f, %s)\n", m.Customer, m.Axis, m.From, m.To, m.Score, strings.ToLower(string(m.Severity)))
	}
	if len(s.Moves) == 0 {
		fmt.Fprintln(w, "  none: no order moved a customer to another segment")
	}
	fmt.Fprintf(w, "\nCustomers at risk: %s with %d or more purchases have been silent for over %d times their usual gap. Those of the greatest value:\n", number(int64(s.AtRiskCount)), riskOrders, riskGaps)
	for _, c := range s.AtRisk {
		fmt.Fprintf(w, "  %-12s %3d purchases worth %10.2f, usually every %3.0f days, silent for %3.0f\n", c.Customer, c.Purchases, float64(c.ValueCents)/100, c.UsualDays, c.SilentDays)
	}
	fmt.Fprintln(w, "\nWhere time went")
	total := 0.0
	for _, stage := range s.Stages {
		total += stage.Seconds
		fmt.Fprintf(w, "  %-22s %6.1f s\n", stage.Name, stage.Seconds)
	}
	fmt.Fprintf(w, "  %-22s %6.1f s\n\n", "in all", total)
}
