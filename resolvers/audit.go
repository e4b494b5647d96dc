package resolvers

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/postgres"
)

// auditTime is how long the note of a mutation's end may take; the caller may have left.
const auditTime = 5 * time.Second

type touchedKey struct{}

// touched is what is known of a mutation while it is done.
type touched struct {
	entry int64
	store atomic.Int32
}

// touch notes the first store that a mutation reaches.
func touch(ctx context.Context, store *model.Store) {
	if t, ok := ctx.Value(touchedKey{}).(*touched); ok && store != nil {
		t.store.CompareAndSwap(0, store.Store.ID)
	}
}

// concerns notes whose data a mutation is about to hand out or to erase; what cannot be noted is not done. The customer's number is
// kept and not its name, so that an erasure leaves nothing of the person here.
func (r *Resolver) concerns(ctx context.Context, c *model.Customer) error {
	t, ok := ctx.Value(touchedKey{}).(*touched)
	if !ok {
		return nil
	}
	return r.DB.AuditSubject(ctx, t.entry, postgres.CustomerRef{StoreID: c.Store.Store.ID, CustomerID: c.Customer.ID})
}

// audited does a mutation and notes who asked for it, in which store, and how it ended; what cannot be noted is not done. The
// arguments are not kept, but for the number of a customer that it concerns.
func (r *Resolver) audited(ctx context.Context, mutation string, do graphql.Resolver) (any, error) {
	caller := auth.From(ctx)
	entry := &postgres.AuditEntry{Actor: caller.Actor, Role: caller.Role.String(), Mutation: mutation, Outcome: string(model.AuditOutcomeFailed)}
	if err := r.DB.BeginAudit(ctx, entry); err != nil {
		return nil, err
	}
	t := &touched{entry: entry.ID}
	defer func() { // also where it panics
		entry.StoreID = t.store.Load()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
		defer cancel()
		if err := r.DB.EndAudit(ctx, entry); err != nil {
			r.Log.ErrorContext(ctx, "the end of a mutation could not be noted", slog.Int64("entry", entry.ID), slog.Any("error", err))
		}
	}()
	payload, err := do(context.WithValue(ctx, touchedKey{}, t))
	entry.Codes = []string{}
	if err != nil {
		outcome, code := outcomeOf(err)
		entry.Outcome, entry.Codes = string(outcome), append(entry.Codes, code)
		return payload, err
	}
	entry.Outcome = string(model.AuditOutcomeSucceeded)
	if entry.Codes = codesOf(payload); len(entry.Codes) > 0 {
		entry.Outcome = string(model.AuditOutcomeRefused)
	}
	entry.RunID = startedBy(payload)
	return payload, nil
}

// outcomeOf tells faults of the caller from those of the server.
func outcomeOf(err error) (model.AuditOutcome, string) {
	known, ok := errors.AsType[*engine.Error](err)
	switch {
	case !ok, known.Code == engine.CodeInternal, known.Code == engine.CodeUnavailable:
		return model.AuditOutcomeFailed, string(engine.CodeOf(err))
	case known.Code == engine.CodeForbidden:
		return model.AuditOutcomeForbidden, string(known.Code)
	}
	return model.AuditOutcomeRefused, string(known.Code)
}

// codesOf gives the codes of a payload's userErrors, each once. Payloads are generated structs that share no interface; a test
// goes over all of them.
func codesOf(payload any) []string {
	codes := []string{}
	list := reflect.Indirect(reflect.ValueOf(payload)).FieldByName("UserErrors")
	for i := range list.Len() {
		code := reflect.Indirect(list.Index(i).Elem()).FieldByName("Code").String()
		if !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	return codes
}

// startedBy gives the UUID of the run in a payload; empty where there is none.
func startedBy(payload any) string {
	field := reflect.Indirect(reflect.ValueOf(payload)).FieldByName("Run")
	if !field.IsValid() || field.IsNil() {
		return ""
	}
	run, ok := field.Interface().(interface{ ID() string })
	if !ok {
		return ""
	}
	id, err := model.ParseID(run.ID())
	if err != nil {
		return ""
	}
	return id.Run
}

const auditKind = "auditLog"

func (r *Resolver) auditLog(ctx context.Context, f *model.AuditFilter, first *int, after *string, last *int, before *string) (*model.AuditEntryConnection, error) {
	page, err := pageOf[int64](auditKind, first, after, last, before)
	if err != nil {
		return nil, err
	}
	if f == nil {
		f = &model.AuditFilter{}
	}
	q := postgres.AuditQuery{Mutations: f.Mutations, Actor: f.Actor, After: page.after, Before: page.before, Window: page.window()}
	if f.Range != nil {
		from, to, err := dates(f.Range)
		if err != nil {
			return nil, err
		}
		q.From, q.To = from.UTC(), to.UTC()
	}
	if f.Outcomes != nil {
		q.Outcomes = []string{}
		for _, o := range f.Outcomes {
			q.Outcomes = append(q.Outcomes, string(o))
		}
	}
	ids, stores, err := r.stores(ctx, f.StoreID)
	if err != nil {
		return nil, err
	}
	q.StoreIDs = ids
	if f.StoreID == nil && auth.From(ctx).AllStores() {
		q.StoreIDs = append(q.StoreIDs, 0)
	}
	rows, err := r.DB.AuditLog(ctx, q)
	if err != nil {
		return nil, err
	}
	cursor := func(e *postgres.AuditEntry) int64 { return e.ID }
	node := func(e *postgres.AuditEntry) *model.AuditEntry {
		view := &model.AuditEntry{At: e.At, Actor: e.Actor, Role: model.Role(e.Role), Mutation: e.Mutation, Outcome: model.AuditOutcome(e.Outcome), Codes: e.Codes, RunID: e.RunID}
		if store := stores[e.StoreID]; store != nil {
			view.StoreID = &store.Key
		}
		if e.Subject != 0 {
			id := model.ID{Kind: model.KindCustomer, Store: e.StoreID, Customer: e.Subject}.String()
			view.Subject = &id
		}
		return view
	}
	count := func(ctx context.Context) (int, error) { return r.DB.CountAuditLog(ctx, q) }
	return newPage(ctx, auditKind, page, rows, cursor, node, count), nil
}

// auditedRun gives the run that a mutation started; nil where there is none, or retention has let it go.
func (r *Resolver) auditedRun(ctx context.Context, e *model.AuditEntry) (model.Run, error) {
	if e.RunID == "" {
		return nil, nil
	}
	run, err := r.runByUUID(ctx, e.RunID)
	if engine.CodeOf(err) == engine.CodeNotFound && err != nil {
		return nil, nil
	}
	return run, err
}
