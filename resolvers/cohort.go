package resolvers

import (
	"context"
	"math"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/journey"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
)

// What a heatmap may hold, and be worked out from.
const (
	maxCohorts         = 120
	maxPeriods         = 120
	maxCohortPurchases = 300_000
)

// cohortMeasures says what is added up for a metric.
var cohortMeasures = map[model.CohortMetric]postgres.CohortMeasure{
	model.CohortMetricRetention: postgres.CohortBuyers, model.CohortMetricOrders: postgres.CohortOrders, model.CohortMetricRevenue: postgres.CohortRevenue,
	model.CohortMetricMeanDrift: postgres.CohortDrift, model.CohortMetricChurnRisk: postgres.CohortRisk, model.CohortMetricSegmentShare: postgres.CohortDominant,
}

// heatmapArgs is what a heatmap is asked for by.
type heatmapArgs struct {
	metric   model.CohortMetric
	interval model.CohortInterval
	cohorts  *model.DateRange
	periods  int
	segment  *string
	kind     engine.SnapshotType
}

func (r *Resolver) cohortHeatmap(ctx context.Context, store *model.Store, a heatmapArgs) (*model.CohortHeatmap, error) {
	if a.periods < 1 || a.periods > maxPeriods {
		return nil, engine.Errorf(engine.CodeInvalid, "periods must be from 1 to %d, is %d", maxPeriods, a.periods)
	}
	segment, err := r.heatmapSegment(ctx, store, a)
	if err != nil {
		return nil, err
	}
	view := &model.CohortHeatmap{Metric: a.metric, Interval: a.interval, Cohorts: []engine.Date{}, Sizes: []int{}, Values: [][]float64{}, EveryNth: 1, Freshness: &model.Freshness{NextSnapshotAt: r.nextSnapshot(store)}}
	now := store.Now()
	if now == nil {
		return view, nil
	}
	q, err := cohortQuery(store, a, *now)
	if err != nil {
		return nil, err
	}
	found, err := r.DB.Cohorts(ctx, q)
	if err != nil {
		return nil, err
	}
	sizes, customers, purchases := map[engine.Date]int{}, 0, 0
	for _, c := range found {
		sizes[c.Start] = c.Customers
		customers += c.Customers
		purchases += c.Purchases
	}
	var sums []postgres.CohortSum
	missing := 0.0
	switch a.metric {
	case model.CohortMetricRetention, model.CohortMetricOrders, model.CohortMetricRevenue:
		q.Every = everyNth(purchases, maxCohortPurchases)
		sums, err = r.DB.CohortPurchases(ctx, q, cohortMeasures[a.metric])
	default:
		missing = math.NaN()
		q.Every = everyNth(customers*len(a.kind.Dates(engine.DateOf(q.From, store.Zone), *now+1)), maxFollowedSnapshots)
		sums, err = r.DB.CohortSnapshots(ctx, q, a.kind, cohortMeasures[a.metric], segment)
	}
	if err != nil {
		return nil, err
	}
	r.freshen(view.Freshness, a, segment, sums)
	cells := make([]journey.CohortCell, len(sums))
	for i, s := range sums {
		cells[i] = journey.CohortCell{Cohort: s.Cohort, Period: s.Period, Sum: s.Sum, Count: float64(s.Count)}
	}
	h := journey.NewHeatmap(journey.Interval(a.interval), sizes, cells, a.periods, *now, missing)
	view.EveryNth = q.Every
	view.Cohorts, view.Sizes, view.Values = append(view.Cohorts, h.Cohorts...), append(view.Sizes, h.Sizes...), append(view.Values, h.Values...)
	return view, nil
}

// freshen says how fresh sums are: orders are looked at for the answer, snapshots were taken before.
func (r *Resolver) freshen(f *model.Freshness, a heatmapArgs, segment postgres.SegmentMatch, sums []postgres.CohortSum) {
	switch a.metric {
	case model.CohortMetricRetention, model.CohortMetricOrders, model.CohortMetricRevenue:
		at := r.Now()
		f.ComputedAt = &at
		return
	case model.CohortMetricSegmentShare:
		f.ModelVersion = &segment.Model
	}
	for _, s := range sums {
		if s.Newest == nil {
			continue
		}
		if f.ComputedAt == nil || s.TakenAt.After(*f.ComputedAt) {
			f.ComputedAt = s.TakenAt
		}
		if f.SnapshotDate == nil || *s.Newest > *f.SnapshotDate {
			f.SnapshotDate = s.Newest
		}
	}
}

// heatmapSegment gives the segment whose share is measured. Faults: INVALID, NOT_FOUND.
func (r *Resolver) heatmapSegment(ctx context.Context, store *model.Store, a heatmapArgs) (postgres.SegmentMatch, error) {
	switch wanted := a.metric == model.CohortMetricSegmentShare; {
	case wanted && a.segment == nil:
		return postgres.SegmentMatch{}, engine.Errorf(engine.CodeInvalid, "SEGMENT_SHARE needs a segmentId")
	case !wanted && a.segment != nil:
		return postgres.SegmentMatch{}, engine.Errorf(engine.CodeInvalid, "segmentId is for SEGMENT_SHARE alone, not for %s", a.metric)
	case !wanted:
		return postgres.SegmentMatch{}, nil
	}
	segments, err := r.segments(ctx, []string{*a.segment})
	if err != nil {
		return postgres.SegmentMatch{}, err
	}
	if segments[0].Store.Store.ID != store.Store.ID {
		return postgres.SegmentMatch{}, engine.Errorf(engine.CodeInvalid, "the segment is of store %q, the heatmap of %q", segments[0].Store.Key, store.Key)
	}
	return matchOf(segments[0]), nil
}

// cohortQuery gives the cohorts of a range, all or the newest where none is told. Fault: INVALID.
func cohortQuery(store *model.Store, a heatmapArgs, now engine.Date) (postgres.CohortQuery, error) {
	q := postgres.CohortQuery{
		StoreID: store.Store.ID, Zone: store.Zone.String(), Interval: postgres.CohortInterval(a.interval), WeekStart: store.WeekStart, Until: now, Every: 1,
	}
	from, to, err := dates(a.cohorts)
	if err != nil {
		return q, err
	}
	from, to = max(from, engine.DateOf(store.FirstAt, store.Zone)), min(to, now+1)
	interval := journey.Interval(a.interval)
	if to > from {
		newest := interval.Start(to-1, store.WeekStart)
		if oldest := interval.Start(from, store.WeekStart); interval.Between(oldest, newest) >= maxCohorts {
			if a.cohorts != nil && a.cohorts.From != nil {
				return q, engine.Errorf(engine.CodeInvalid, "the range holds more than %d cohorts; ask for a shorter one, or for wider cohorts", maxCohorts)
			}
			from = interval.Add(newest, 1-maxCohorts)
		}
	}
	q.From, q.To = from.In(store.Zone), max(from, to).In(store.Zone)
	return q, nil
}

// everyNth is of how many customers one is looked at, so that at most so many rows are read.
func everyNth(rows, most int) int { return max(1, (rows+most-1)/most) }
