package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

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
	err = writing(a.out, c.Out, func(orders io.Writer) error {
		if c.Products == "" {
			result.Exported, err = o.runner.ExportOrders(a.ctx, store, orders, nil)
			return err
		}
		return writing(a.out, c.Products, func(products io.Writer) error {
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

// writing hands a file to write to, - for out. It names customers, so others may not read it; a half one is taken away.
func writing(out io.Writer, path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(out)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return engine.Errorf(engine.CodeInvalid, "%s cannot be written: name another file", path)
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
