package cli

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/jobs"
)

type exportCommand struct {
	Store    string `required:"" placeholder:"KEY" help:"The store."`
	Out      string `default:"-" placeholder:"FILE" help:"Where the orders are written; standard output unless set."`
	Products string `placeholder:"FILE" help:"Where what is known of the articles is written, for import --products."`
}

// exportResult is what export prints after an export to a file.
type exportResult struct {
	Store string `json:"store"`
	File  string `json:"file"`
	jobs.Exported
	Seconds float64 `json:"seconds"`
}

// Run exports a store's orders.
func (c *exportCommand) Run(a *app) (err error) {
	switch {
	case c.Out == "-" && a.JSON:
		return engine.Errorf(engine.CodeInvalid, "--json prints one JSON object and nothing else: name a file for the orders with --out")
	case c.Products == "-":
		return engine.Errorf(engine.CodeInvalid, "name a file for the articles with --products")
	case c.Products != "" && filepath.Clean(c.Products) == filepath.Clean(c.Out):
		return engine.Errorf(engine.CodeInvalid, "the orders and the articles need a file each: name another one with --products")
	}
	began := a.now()
	o, err := a.officeWith(jobs.DefaultSettings())
	if err != nil {
		return err
	}
	defer closing(o, &err)
	store, err := o.db.StoreByKey(a.ctx, c.Store)
	if err != nil {
		return err
	}
	result := exportResult{Store: store.Key, File: c.Out}
	err = c.orders(a.out, func(orders io.Writer) error {
		if c.Products == "" {
			result.Exported, err = o.runner.ExportOrders(a.ctx, store, orders, nil)
			return err
		}
		return writeFile(c.Products, "--products", func(products io.Writer) error {
			result.Exported, err = o.runner.ExportOrders(a.ctx, store, orders, products)
			return err
		})
	})
	if err != nil || c.Out == "-" {
		return err
	}
	result.Seconds = seconds(began, a.now())
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s lines in %s, %.1f s\n", result.Store, number(result.Lines), result.File, result.Seconds)
		if c.Products != "" {
			fmt.Fprintf(w, "  %s articles in %s\n", number(result.Products), c.Products)
		}
	})
}

// orders hands out what orders are written to.
func (c *exportCommand) orders(out io.Writer, write func(io.Writer) error) error {
	if c.Out == "-" {
		return write(out)
	}
	return writeFile(c.Out, "--out", write)
}
