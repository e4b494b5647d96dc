package resolvers

import (
	"context"
	"encoding/json"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
)

const alarmKind = "alarms"

// alarmShape is a query as text, by which customers of a page are read together.
type alarmShape string

func alarmQuery(store *model.Store, f *model.AlarmFilter) (postgres.AlarmQuery, error) {
	q := postgres.AlarmQuery{Budget: store.AlarmsPerWeek}
	var span *model.DateRange
	if f != nil {
		span, q.Standing, q.WithinBudget = f.Range, f.Standing, f.WithinBudget
		if f.Kinds != nil {
			q.Kinds = []engine.AlarmKind{}
		}
		for _, kind := range f.Kinds {
			q.Kinds = append(q.Kinds, model.DetectorOf(kind))
		}
	}
	var err error
	q.From, q.To, err = dates(span)
	return q, err
}

func alarmCursor(a *postgres.ListedAlarm) postgres.AlarmCursor {
	return postgres.AlarmCursor{Date: a.Date, Rank: a.Rank, ID: a.ID}
}

func alarmView(a *postgres.ListedAlarm, c *model.Customer) *model.Alarm {
	return &model.Alarm{Alarm: &a.Alarm, Customer: c, Budget: c.Store.AlarmsPerWeek, EndedAt: a.EndedAt}
}

func (r *Resolver) storeAlarms(ctx context.Context, store *model.Store, f *model.AlarmFilter, first *int, after *string, last *int, before *string) (*model.AlarmConnection, error) {
	page, err := pageOf[postgres.AlarmCursor](alarmKind, first, after, last, before)
	if err != nil {
		return nil, err
	}
	q, err := alarmQuery(store, f)
	if err != nil {
		return nil, err
	}
	q.After, q.Before, q.Window = page.after, page.before, page.window()
	rows, err := r.DB.Alarms(ctx, store.Store.ID, q)
	if err != nil {
		return nil, err
	}
	node := func(a *postgres.ListedAlarm) *model.Alarm {
		return alarmView(a, &model.Customer{Customer: &a.Customer, Store: store})
	}
	connection := r.alarmPage(ctx, page, rows, node, store.Store.ID, nil, q)
	var customers []*model.Customer
	for _, a := range connection.Nodes() {
		customers = append(customers, a.Customer)
	}
	model.AsPage(customers)
	return connection, nil
}

func (r *Resolver) customerAlarms(ctx context.Context, c *model.Customer, f *model.AlarmFilter, first *int, after *string, last *int, before *string) (*model.AlarmConnection, error) {
	page, err := pageOf[postgres.AlarmCursor](alarmKind, first, after, last, before)
	if err != nil {
		return nil, err
	}
	q, err := alarmQuery(c.Store, f)
	if err != nil {
		return nil, err
	}
	q.After, q.Before, q.Window = page.after, page.before, page.window()
	q.To = until(c, q.To)
	rows, err := r.alarmsOf(ctx, c, q)
	if err != nil {
		return nil, err
	}
	node := func(a *postgres.ListedAlarm) *model.Alarm { return alarmView(a, c) }
	return r.alarmPage(ctx, page, rows, node, c.Store.Store.ID, &c.Customer.ID, q), nil
}

// alarmsOf reads a page of a customer's alarms together with the same page of others.
func (r *Resolver) alarmsOf(ctx context.Context, c *model.Customer, q postgres.AlarmQuery) ([]*postgres.ListedAlarm, error) {
	fetch := func(ctx context.Context, refs []postgres.CustomerRef, _ alarmShape) (map[postgres.CustomerRef][]*postgres.ListedAlarm, error) {
		return r.DB.CustomerAlarms(ctx, refs, q)
	}
	shape, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if c.Page == nil {
		found, err := fetch(ctx, []postgres.CustomerRef{refOf(c)}, "")
		return found[refOf(c)], err
	}
	return ofPage(ctx, r.loaders(ctx), c, alarmShape(shape), nil, fetch)
}

func (r *Resolver) alarmPage(ctx context.Context, page pageArgs[postgres.AlarmCursor], rows []*postgres.ListedAlarm, node func(*postgres.ListedAlarm) *model.Alarm, storeID int32, customer *int64, q postgres.AlarmQuery) *model.AlarmConnection {
	count := func(ctx context.Context) (int, error) { return r.DB.CountAlarms(ctx, storeID, customer, q) }
	discovery := func(ctx context.Context) (*float64, error) {
		if customer != nil {
			return nil, nil
		}
		return r.DB.FalseDiscoveryRate(ctx, storeID, q)
	}
	return &model.AlarmConnection{Page: newPage(ctx, alarmKind, page, rows, alarmCursor, node, count), Discovery: discovery}
}

// alarm gives one alarm. Fault: NOT_FOUND.
func (r *Resolver) alarm(ctx context.Context, store *model.Store, id int64) (*model.Alarm, error) {
	a, err := r.DB.Alarm(ctx, store.Store.ID, id)
	if err != nil {
		return nil, err
	}
	return alarmView(a, &model.Customer{Customer: &a.Customer, Store: store}), nil
}
