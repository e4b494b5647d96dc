package resolvers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/jobs"
)

func (r *Resolver) importOrders(ctx context.Context, in model.ImportOrdersInput) (*model.ImportOrdersPayload, error) {
	answer, err := r.startImport(ctx, in)
	faults, err := r.userErrors(ctx, err, short(in.StoreID))
	if err != nil || len(faults) > 0 {
		return &model.ImportOrdersPayload{UserErrors: faults}, err
	}
	payload := &model.ImportOrdersPayload{Counts: importCounts(answer.Counts), UserErrors: faults}
	for _, o := range answer.Outcomes {
		outcome := &model.OrderOutcome{OrderID: o.OrderID, Status: o.Status}
		if o.Reason != "" {
			outcome.Reason = &o.Reason
		}
		payload.Outcomes = append(payload.Outcomes, outcome)
	}
	if answer.RunID == "" {
		return payload, nil
	}
	run, err := r.runByUUID(ctx, answer.RunID)
	if err != nil {
		return nil, err
	}
	payload.Run = run.(*model.RescoreRun)
	return payload, nil
}

func (r *Resolver) startImport(ctx context.Context, in model.ImportOrdersInput) (*jobs.OrdersAnswer, error) {
	store, err := r.storeByKey(ctx, in.StoreID)
	if err != nil {
		return nil, at(err, "input", "storeId")
	}
	if in.IdempotencyKey != nil && *in.IdempotencyKey == "" {
		return nil, engine.Errorf(engine.CodeInvalid, "an idempotency key has at least one byte").At("input", "idempotencyKey")
	}
	orders := make([]jobs.Order, len(in.Orders))
	for i, o := range in.Orders {
		orders[i] = orderOf(o)
	}
	return r.Jobs.ImportOrders(ctx, jobs.OrdersRequest{
		Store: &store.Store, Orders: orders, Trigger: engine.TriggerMutation, IdempotencyKey: text(in.IdempotencyKey),
	})
}

func orderOf(in *model.OrderInput) jobs.Order {
	o := jobs.Order{
		ID: in.OrderID, Customer: text(in.CustomerID), OrderedAt: in.OrderedAt, Status: text(in.Status), CancelledAt: instant(in.CancelledAt),
		Test: in.Test, Currency: text(in.Currency),
	}
	for _, l := range in.Lines {
		o.Lines = append(o.Lines, jobs.OrderLine{
			SKU: text(l.Sku), Category: text(l.Category), Quantity: int64(l.Quantity), UnitPrice: amount(l.UnitPrice),
			Discount: amount(l.Discount), Refunded: amount(l.Refunded), RefundedAt: instant(l.RefundedAt),
		})
	}
	return o
}

func instant(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}

// amount writes cents as a decimal number; empty where nothing was told.
func amount(cents *int64) string {
	if cents == nil {
		return ""
	}
	sign, n := "", uint64(*cents)
	if *cents < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%02d", sign, n/100, n%100)
}

func importCounts(report jobs.ImportReport) *model.ImportCounts {
	counts := &model.ImportCounts{
		Rows: report.Rows, Imported: report.Imported, Changed: report.Changed, Guests: report.Guests,
		Rejected: report.Rejected, Superseded: report.Superseded, Orders: report.Orders, Customers: report.Customers, Problems: []*model.ImportProblem{},
	}
	for _, reason := range slices.Sorted(maps.Keys(report.Problems)) {
		counts.Problems = append(counts.Problems, &model.ImportProblem{Reason: reason, Rows: report.Problems[reason]})
	}
	return counts
}
