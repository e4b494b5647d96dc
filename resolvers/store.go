package resolvers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

const storesKind = "stores"

// allStores pages through the stores; they are few, so all are read.
func (r *Resolver) allStores(ctx context.Context, first *int, after *string, last *int, before *string) (*model.StoreConnection, error) {
	page, err := pageOf[string](storesKind, first, after, last, before)
	if err != nil {
		return nil, err
	}
	views, err := r.storeViews(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(views, func(a, b *postgres.StoreView) int { return strings.Compare(a.Key, b.Key) })
	rows := slices.DeleteFunc(slices.Clone(views), func(s *postgres.StoreView) bool {
		return page.after != nil && s.Key <= *page.after || page.before != nil && s.Key >= *page.before
	})
	if over := len(rows) - page.size - 1; over > 0 {
		if page.backward {
			rows = rows[over:]
		} else {
			rows = rows[:page.size+1]
		}
	}
	cursor := func(s *postgres.StoreView) string { return s.Key }
	count := func(context.Context) (int, error) { return len(views), nil }
	return newPage(ctx, storesKind, page, rows, cursor, r.storeView, count), nil
}

// axisOf gives an axis of a store. Fault: NOT_FOUND.
func axisOf(store *model.Store, key string) (*model.Axis, error) {
	index, ok := engine.AxisIndex(key)
	if !ok {
		return nil, engine.Errorf(engine.CodeNotFound, "there is no axis %q; Store.axes lists the keys", short(key))
	}
	return &model.Axis{Store: store, Index: index}, nil
}

func (r *Resolver) updateStore(ctx context.Context, in model.UpdateStoreInput) (*model.UpdateStorePayload, error) {
	payload := &model.UpdateStorePayload{}
	store, err := r.storeByKey(ctx, in.StoreID)
	if err != nil {
		payload.UserErrors, err = r.userErrors(ctx, at(err, "input", "storeId"), in.StoreID)
		return payload, err
	}
	request := jobs.SettingsRequest{Store: &store.Store, TimeZone: in.TimeZone, StoreSettings: postgres.StoreSettings{
		Name: in.Name, Currency: in.Currency, WeekStart: in.WeekStart, FalseAlarmRate: in.FalseAlarmRate,
	}}
	if in.PurchaseStatuses != nil {
		request.PurchaseStatuses = &in.PurchaseStatuses
	}
	request.Scheduled, request.SetScheduled = in.Scheduled.ValueOK()
	request.AlarmsPerWeek, request.SetAlarmsPerWeek = in.AlarmsPerWeek.ValueOK()
	request.HorizonDays, request.SetHorizonDays = in.ChurnHorizonDays.ValueOK()
	request.Margin, request.SetMargin = in.Margin.ValueOK()
	request.Discount, request.SetDiscount = in.MonthlyDiscount.ValueOK()
	for _, r := range in.Retention {
		request.Retention = append(request.Retention, jobs.Retention{Type: r.Type, KeepDays: r.KeepDays})
	}
	changed, err := r.Jobs.UpdateStore(ctx, request)
	if payload.UserErrors, err = r.userErrors(ctx, err, in.StoreID); err != nil || changed == nil {
		return payload, err
	}
	view := *store
	view.Store = *changed
	payload.Store = &view
	return payload, nil
}

// modelView gives a version of the store's model, the one in force where none is named; nil before the first.
func (r *Resolver) modelView(ctx context.Context, store *model.Store, version *int) (*model.Model, error) {
	number := store.ModelVersion
	if version != nil {
		number = *version
	} else if number == 0 {
		return nil, nil
	}
	stored, err := r.Models.Get(ctx, store.Store.ID, number)
	if err != nil {
		return nil, err
	}
	return &model.Model{Model: stored.Model, Store: store, RunID: stored.RunID, CreatedAt: stored.FittedAt}, nil
}

// retention tells for how many days a store keeps snapshots of each type.
func (r *Resolver) retention(ctx context.Context, store *model.Store) ([]*model.RetentionPolicy, error) {
	overrides, err := r.loaders(ctx).retention.Load(ctx, store.Store.ID)
	policies := make([]*model.RetentionPolicy, 0, len(engine.SnapshotTypes))
	for _, kind := range engine.SnapshotTypes {
		p := &model.RetentionPolicy{Type: kind, KeepDays: r.Retention[kind]}
		if days, ok := overrides[kind]; ok {
			p.KeepDays, p.Overridden = days, true
		}
		policies = append(policies, p)
	}
	return policies, err
}

// expiry tells when retention lets a snapshot go; nil for a replayed one.
func (r *Resolver) expiry(ctx context.Context, s *model.Snapshot) (*time.Time, error) {
	if s.Replayed || s.Computed {
		return nil, nil
	}
	store := s.Customer.Store
	policies, err := r.retention(ctx, store)
	if err != nil {
		return nil, err
	}
	for _, p := range policies {
		if p.Type == s.Type {
			at := (s.Date + engine.Date(p.KeepDays) + 1).In(store.Zone)
			return &at, nil
		}
	}
	return nil, nil
}

func (r *Resolver) nextSnapshot(store *model.Store) *time.Time {
	if r.NextSnapshot == nil || !r.SnapshotsEnabled {
		return nil
	}
	at := r.NextSnapshot(&store.Store)
	if at.IsZero() {
		return nil
	}
	return &at
}

func (r *Resolver) storeFreshness(store *model.Store) *model.Freshness {
	f := &model.Freshness{NextSnapshotAt: r.nextSnapshot(store)}
	if store.ModelVersion > 0 {
		f.ComputedAt, f.ModelVersion = &store.ModelAt, &store.ModelVersion
	}
	return f
}

func (r *Resolver) customerFreshness(ctx context.Context, c *model.Customer) (*model.Freshness, error) {
	state, _, err := r.state(ctx, c, false)
	f := &model.Freshness{NextSnapshotAt: r.nextSnapshot(c.Store)}
	if state != nil {
		f.ComputedAt, f.ModelVersion = &state.UpdatedAt, &state.ModelVersion
	}
	return f, err
}

type memberCursor = postgres.MemberCursor

func (r *Resolver) members(ctx context.Context, s *model.Segment, minMembership float64, dominantOnly bool, first *int, after *string, last *int, before *string) (*model.SegmentMemberConnection, error) {
	const kind = "members"
	page, err := pageOf[memberCursor](kind, first, after, last, before)
	if err != nil {
		return nil, err
	}
	if !(minMembership >= 0 && minMembership <= 1) {
		return nil, engine.Errorf(engine.CodeInvalid, "minMembership must be from 0 to 1, is %g", minMembership)
	}
	q := postgres.MemberQuery{
		SegmentMatch: matchOf(s), MinUnits: int(minMembership*engine.MembershipUnit + 0.5), DominantOnly: dominantOnly,
		After: page.after, Before: page.before, Window: page.window(),
	}
	rows, err := r.DB.Members(ctx, q)
	if err != nil {
		return nil, err
	}
	rows, more := cut(&page, rows)
	connection := &model.SegmentMemberConnection{
		Edges: []*model.SegmentMemberEdge{}, Count: func(ctx context.Context) (int, error) { return r.DB.CountMembers(ctx, q) },
	}
	cursors := make([]string, len(rows))
	for i, m := range rows {
		cursors[i] = writeCursor(kind, memberCursor{Units: m.Units, Key: m.Key})
		connection.Edges = append(connection.Edges, &model.SegmentMemberEdge{
			Cursor: cursors[i], Node: &model.Customer{Customer: &m.Customer, Store: s.Store}, Membership: float64(m.Units) / engine.MembershipUnit,
		})
	}
	connection.PageInfo = page.info(more, cursors)
	model.AsPage(connection.Nodes())
	return connection, nil
}

// health looks at what the service needs. Counts are read only where wanted, and nobody learns them without showing who it is.
func (r *Resolver) health(ctx context.Context, counts, lastRun bool) (*model.Health, error) {
	h := &model.Health{Status: model.HealthStatusOk, Version: r.Version, SnapshotsEnabled: r.SnapshotsEnabled}
	begin := time.Now()
	err := r.DB.Ping(ctx)
	check := &model.HealthCheck{Name: "database", Status: model.HealthStatusOk, LatencyMs: float64(time.Since(begin).Microseconds()) / 1000}
	if err != nil {
		r.Log.ErrorContext(ctx, "the database does not answer", "error", err)
		detail := "it does not answer"
		check.Status, check.Detail, h.Status = model.HealthStatusUnavailable, &detail, model.HealthStatusUnavailable
	}
	if auth.From(ctx).IsNobody() {
		return h, nil
	}
	h.Checks = []*model.HealthCheck{check}
	if err != nil {
		return h, nil
	}
	if counts {
		err = r.countSnapshots(ctx, h)
	}
	if lastRun {
		run, runErr := r.newestRun(ctx)
		h.LastRun, err = run, errors.Join(err, runErr)
	}
	return h, err
}

func (r *Resolver) countSnapshots(ctx context.Context, h *model.Health) error {
	ids, _, err := r.stores(ctx, nil)
	if err != nil {
		return err
	}
	byType, err := r.DB.SnapshotCounts(ctx, ids)
	total := int64(0)
	h.TotalSnapshots, h.SnapshotsByType = &total, []*model.SnapshotTypeCount{}
	for _, c := range byType {
		total += c.Count
		h.SnapshotsByType = append(h.SnapshotsByType, &model.SnapshotTypeCount{Type: c.Type, Count: c.Count})
		if h.OldestSnapshot == nil || c.Oldest < *h.OldestSnapshot {
			h.OldestSnapshot = &c.Oldest
		}
		if h.NewestSnapshot == nil || c.Newest > *h.NewestSnapshot {
			h.NewestSnapshot = &c.Newest
		}
	}
	return err
}
