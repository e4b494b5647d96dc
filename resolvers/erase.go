package resolvers

import (
	"bytes"
	"context"

	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/jobs"
)

func (r *Resolver) exportCustomer(ctx context.Context, in model.ExportCustomerInput) (*model.ExportCustomerPayload, error) {
	payload := &model.ExportCustomerPayload{}
	customer, err := r.customerBy(ctx, *in.Customer)
	var document *jobs.CustomerDocument
	if err == nil {
		err = r.concerns(ctx, customer)
	}
	if err == nil {
		document, err = r.Jobs.ExportCustomer(ctx, &customer.Store.Store, customer.Customer.ID)
	}
	if payload.UserErrors, err = r.userErrors(ctx, at(err, "input", "customer"), "customer"); err != nil || document == nil {
		return payload, err
	}
	line, err := document.Line()
	payload.Document = bytes.TrimSpace(line)
	return payload, err
}

func (r *Resolver) eraseCustomer(ctx context.Context, in model.EraseCustomerInput) (*model.EraseCustomerPayload, error) {
	payload := &model.EraseCustomerPayload{}
	customer, err := r.customerBy(ctx, *in.Customer)
	var receipt *jobs.Receipt
	if err == nil {
		err = r.concerns(ctx, customer)
	}
	if err == nil {
		receipt, err = r.Jobs.EraseCustomer(ctx, &customer.Store.Store, customer.Customer.ID)
	}
	if payload.UserErrors, err = r.userErrors(ctx, at(err, "input", "customer"), "customer"); err != nil || receipt == nil {
		return payload, err
	}
	payload.Receipt = &model.ErasureReceipt{
		ReceiptID: receipt.ID, ErasedAt: receipt.ErasedAt, StoreID: receipt.Store, Orders: receipt.Orders,
		OrderLines: int(receipt.Removed["customer_order"]), Snapshots: int(receipt.Removed["snapshot"]), Events: int(receipt.Removed["drift_event"]),
		Hash: receipt.Hash, Salt: receipt.Salt,
	}
	return payload, nil
}
