package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/jobs"
)

type customerCommand struct {
	Export   customerExport   `cmd:"" help:"Print everything that is stored about a customer, as one JSON document."`
	Erase    customerErase    `cmd:"" help:"Remove everything that is stored about a customer, for good, and print a receipt."`
	Receipts customerReceipts `cmd:"" help:"List the receipts of a store's erasures."`
}

// namedCustomer names a customer.
type namedCustomer struct {
	Store    string `required:"" placeholder:"KEY" help:"The store."`
	Customer string `required:"" placeholder:"ID" help:"The customer, by the name that the store uses."`
}

type (
	customerExport struct{ namedCustomer }
	customerErase  struct {
		namedCustomer
		Yes bool `help:"Confirm: an erasure cannot be taken back."`
	}
	customerReceipts struct {
		Store string `required:"" placeholder:"KEY" help:"The store."`
	}
)

// find opens the database and looks the customer up.
func (n *namedCustomer) find(a *app) (*office, *engine.Store, *engine.Customer, error) {
	o, err := a.officeWith(jobs.DefaultSettings())
	if err != nil {
		return nil, nil, nil, err
	}
	store, err := o.db.StoreByKey(a.ctx, n.Store)
	if err != nil {
		return o, nil, nil, err
	}
	customer, err := o.runner.FindCustomer(a.ctx, store, n.Customer)
	return o, store, customer, err
}

// Run exports a customer.
func (c *customerExport) Run(a *app) (err error) {
	o, store, customer, err := c.find(a)
	if o != nil {
		defer closing(o, &err)
	}
	if err != nil {
		return err
	}
	document, err := o.runner.ExportCustomer(a.ctx, store, customer.ID)
	if err != nil {
		return err
	}
	line, err := document.Line()
	if err != nil {
		return err
	}
	if !a.JSON {
		var readable bytes.Buffer
		if err := json.Indent(&readable, line, "", "  "); err != nil {
			return err
		}
		line = readable.Bytes()
	}
	_, err = a.out.Write(line)
	return err
}

// Run erases a customer.
func (c *customerErase) Run(a *app) (err error) {
	if !c.Yes {
		return engine.Errorf(engine.CodeInvalid, "an erasure cannot be taken back: export the customer first if you must keep a copy, then add --yes")
	}
	o, store, customer, err := c.find(a)
	if o != nil {
		defer closing(o, &err)
	}
	if err != nil {
		return err
	}
	receipt, err := o.runner.EraseCustomer(a.ctx, store, customer.ID)
	if err != nil {
		return err
	}
	return a.print(receipt, func(w io.Writer) {
		describeReceipt(w, receipt)
		fmt.Fprintf(w, "  hash %s\n  salt %s (it is not kept: note it if you keep an export as proof)\n", receipt.Hash, receipt.Salt)
	})
}

func describeReceipt(w io.Writer, r *jobs.Receipt) {
	fmt.Fprintf(w, "%s, %s: %s orders removed, receipt %s\n", r.Store, r.ErasedAt.Format(time.RFC3339), number(int64(r.Orders)), r.ID)
	for _, table := range slices.Sorted(maps.Keys(r.Removed)) {
		fmt.Fprintf(w, "  %-16s %s rows\n", table, number(r.Removed[table]))
	}
}

// Run lists receipts.
func (c *customerReceipts) Run(a *app) (err error) {
	o, err := a.officeWith(jobs.DefaultSettings())
	if err != nil {
		return err
	}
	defer closing(o, &err)
	store, err := o.db.StoreByKey(a.ctx, c.Store)
	if err != nil {
		return err
	}
	receipts, err := o.runner.Receipts(a.ctx, store)
	if err != nil {
		return err
	}
	return a.print(map[string]any{"store": store.Key, "receipts": receipts}, func(w io.Writer) {
		for i := range receipts {
			describeReceipt(w, &receipts[i])
		}
	})
}
