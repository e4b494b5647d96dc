package resolvers

import (
	"context"
	"encoding/json"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/versions"
	"github.com/quimbi/quimbi/engine/watch"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

const transitionKind = "segmentTransitions"

// transitionQuery reads a filter. Without one, changes that were taken back are left out.
func (r *Resolver) transitionQuery(ctx context.Context, f *model.SegmentTransitionFilter) (postgres.TransitionQuery, error) {
	if f == nil {
		f = &model.SegmentTransitionFilter{}
	}
	q := postgres.TransitionQuery{States: []watch.TransitionState{watch.TransitionConfirmed, watch.TransitionPending}}
	if f.States != nil {
		q.States = f.States
	}
	if f.Type != nil {
		q.Type = *f.Type
	}
	var err error
	if q.From, q.To, err = dates(f.Range); err != nil {
		return q, err
	}
	if f.Axes != nil {
		if q.Axes, err = model.SelectAxes(f.Axes); err != nil {
			return q, err
		}
	}
	if q.FromSegments, err = r.segmentsAt(ctx, f.FromSegmentIds); err != nil {
		return q, err
	}
	q.ToSegments, err = r.segmentsAt(ctx, f.ToSegmentIds)
	return q, err
}

func transitionCursor(t *postgres.ListedTransition) postgres.TransitionCursor {
	return postgres.TransitionCursor{Date: t.Date, ID: t.ID}
}

// transitionViews gives a function that shows transitions of customers under their models.
func (r *Resolver) transitionViews(ctx context.Context, store *model.Store, rows []*postgres.ListedTransition, customer func(*postgres.ListedTransition) *model.Customer) (func(*postgres.ListedTransition) *model.SegmentTransition, error) {
	models := map[int]*engine.Model{}
	for _, t := range rows {
		if models[t.ModelVersion] != nil {
			continue
		}
		m, err := r.version(ctx, store, &t.ModelVersion)
		if err != nil {
			return nil, err
		}
		models[t.ModelVersion] = m
	}
	return func(t *postgres.ListedTransition) *model.SegmentTransition {
		return &model.SegmentTransition{
			Transition: t.Transition, Customer: customer(t), Type: t.Type, AxisIndex: t.Axis, Model: models[t.ModelVersion], DaysInPrevious: t.DaysInPrevious,
		}
	}, nil
}

func (r *Resolver) storeTransitions(ctx context.Context, store *model.Store, f *model.SegmentTransitionFilter, first *int, after *string, last *int, before *string) (*model.SegmentTransitionConnection, error) {
	page, err := pageOf[postgres.TransitionCursor](transitionKind, first, after, last, before)
	if err != nil {
		return nil, err
	}
	q, err := r.transitionQuery(ctx, f)
	if err != nil {
		return nil, err
	}
	q.After, q.Before, q.Window = page.after, page.before, page.window()
	rows, err := r.DB.Transitions(ctx, store.Store.ID, q)
	if err != nil {
		return nil, err
	}
	view, err := r.transitionViews(ctx, store, rows, func(t *postgres.ListedTransition) *model.Customer {
		return &model.Customer{Customer: &t.Customer, Store: store}
	})
	if err != nil {
		return nil, err
	}
	count := func(ctx context.Context) (int, error) { return r.DB.CountTransitions(ctx, store.Store.ID, 0, q) }
	connection := newPage(ctx, transitionKind, page, rows, transitionCursor, view, count)
	var customers []*model.Customer
	for _, t := range connection.Nodes() {
		customers = append(customers, t.Customer)
	}
	model.AsPage(customers)
	return connection, nil
}

// transitionsOf reads a page of a customer's transitions together with the same page of others.
func (r *Resolver) transitionsOf(ctx context.Context, c *model.Customer, q postgres.TransitionQuery) ([]*postgres.ListedTransition, error) {
	shape, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	l := r.loaders(ctx)
	return ofPage(ctx, l, c, transitionShape(shape), l.transitions, r.transitionsByShape)
}

// transitionShape is a query of transitions as JSON, which can be compared.
type transitionShape string

func (r *Resolver) transitionsByShape(ctx context.Context, refs []postgres.CustomerRef, shape transitionShape) (map[postgres.CustomerRef][]*postgres.ListedTransition, error) {
	var q postgres.TransitionQuery
	if err := json.Unmarshal([]byte(shape), &q); err != nil {
		return nil, err
	}
	return r.DB.CustomerTransitions(ctx, refs, q)
}

func (r *Resolver) customerTransitions(ctx context.Context, c *model.Customer, f *model.SegmentTransitionFilter, first *int, after *string, last *int, before *string) (*model.SegmentTransitionConnection, error) {
	page, err := pageOf[postgres.TransitionCursor](transitionKind, first, after, last, before)
	if err != nil {
		return nil, err
	}
	q, err := r.transitionQuery(ctx, f)
	if err != nil {
		return nil, err
	}
	q.After, q.Before, q.Window = page.after, page.before, page.window()
	q.To = until(c, q.To)
	rows, err := r.transitionsOf(ctx, c, q)
	if err != nil {
		return nil, err
	}
	view, err := r.transitionViews(ctx, c.Store, rows, func(*postgres.ListedTransition) *model.Customer { return c })
	if err != nil {
		return nil, err
	}
	count := func(ctx context.Context) (int, error) {
		return r.DB.CountTransitions(ctx, c.Customer.StoreID, c.Customer.ID, q)
	}
	return newPage(ctx, transitionKind, page, rows, transitionCursor, view, count), nil
}

// timelineTransitions gives the transitions that count of a timeline's dates, oldest first.
func (r *Resolver) timelineTransitions(ctx context.Context, t *model.Timeline) ([]*model.SegmentTransition, error) {
	list := []*model.SegmentTransition{}
	if len(t.Rows) == 0 {
		return list, nil
	}
	q := postgres.TransitionQuery{
		Type: t.Type, From: t.Rows[0].Date, To: t.Rows[len(t.Rows)-1].Date + 1,
		Window: postgres.Window{Limit: maxDates * engine.AxisCount, Backward: true},
	}
	rows, err := r.transitionsOf(ctx, t.Customer, q)
	if err != nil {
		return nil, err
	}
	view, err := r.transitionViews(ctx, t.Customer.Store, rows, func(*postgres.ListedTransition) *model.Customer { return t.Customer })
	if err != nil {
		return nil, err
	}
	for i := len(rows) - 1; i >= 0; i-- {
		list = append(list, view(rows[i]))
	}
	return list, nil
}

// silentShape asks where customers would stand on a day had they done nothing since another.
type silentShape struct {
	from, to engine.Date
	version  int
}

func (r *Resolver) silent(ctx context.Context, refs []postgres.CustomerRef, q silentShape) (map[postgres.CustomerRef]engine.Thumbprint, error) {
	all := make(map[postgres.CustomerRef]engine.Thumbprint, len(refs))
	for storeID, customers := range byStore(refs) {
		store, err := r.storeByID(ctx, storeID)
		if err != nil {
			return nil, err
		}
		m, err := r.version(ctx, store, &q.version)
		if err != nil {
			return nil, err
		}
		found, err := r.Jobs.Silent(ctx, jobs.SilentRequest{Store: &store.Store, Customers: customers, From: q.from, To: q.to, Model: m})
		if err != nil {
			return nil, err
		}
		for id, print := range found {
			all[postgres.CustomerRef{StoreID: storeID, CustomerID: id}] = print
		}
	}
	return all, nil
}

// split parts the drift of a series into what the customer, time and a new model did.
func (r *Resolver) split(ctx context.Context, s *model.Series) (*model.Split, error) {
	first, last := s.Rows[0], len(s.Rows)-1
	older, err := r.version(ctx, s.Customer.Store, &first.ModelVersion)
	if err != nil {
		return nil, err
	}
	silent := s.Prints[last]
	if !s.SilentSince() {
		l := r.loaders(ctx)
		shape := silentShape{first.Date, s.Rows[last].Date, s.Model.Version}
		if silent, err = ofPage(ctx, l, s.Customer, shape, l.silent, r.silent); err != nil {
			return nil, err
		}
	}
	return s.Split(s.Between(), silent, older), nil
}

// aligned compares a series whose first snapshot cannot be worked out anew; nil where it can, or its last one cannot either.
func (r *Resolver) aligned(ctx context.Context, s *model.Series) (*versions.Aligned, error) {
	first, last := s.Rows[0], len(s.Rows)-1
	if len(s.Prints[0].Membership) > 0 || len(s.Prints[last].Membership) == 0 {
		return nil, nil
	}
	older, err := r.version(ctx, s.Customer.Store, &first.ModelVersion)
	if err != nil {
		return nil, err
	}
	return versions.AlignedDrift(s.Level, older, first.Thumbprint, s.Model, s.Prints[last]), nil
}
