package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/jobs"
)

type importCommand struct {
	Store      string   `required:"" placeholder:"KEY" help:"The store; it is made if it is new."`
	Files      []string `arg:"" name:"file" help:"Order files, also compressed by gzip; - is standard input."`
	DryRun     bool     `help:"Read the files and tell what they hold, but keep nothing."`
	Map        string   `placeholder:"FIELD=HEADER,..." help:"Which columns of a foreign file hold what, for example customer_id=Client,ordered_at=Date."`
	Products   string   `placeholder:"FILE" help:"A table of articles (sku, category) for orders without categories."`
	Currency   string   `placeholder:"CODE" help:"The currency of a store that has none yet; orders in others are set aside. Without it, what the orders say first."`
	DayFirst   bool     `xor:"dates" help:"Read 7/8/2017 as 7 August."`
	MonthFirst bool     `xor:"dates" help:"Read 7/8/2017 as 8 July."`
	Rejects    string   `placeholder:"FILE" help:"Where rows that are set aside are written; KEY.rejects.csv unless set."`
}

type importResult struct {
	Store       string            `json:"store"`
	Rows        int64             `json:"rows"`
	Imported    int64             `json:"imported"`
	Changed     *int64            `json:"changed"` // null in a dry run: only a merge tells
	Guests      int64             `json:"guests"`
	Rejected    int64             `json:"rejected"`
	Orders      int64             `json:"orders"`
	Customers   int64             `json:"customers"`
	RejectsFile *string           `json:"rejects_file"`
	Format      string            `json:"format"`
	Currency    *string           `json:"currency"` // null where the orders do not say
	Problems    []problem         `json:"problems"`
	RescoreRun  *string           `json:"rescore_run"` // null where nobody is to be scored anew
	Seconds     float64           `json:"seconds"`
	Mapping     map[string]string `json:"mapping,omitempty"`
	Sample      []sampleLine      `json:"sample,omitempty"`

	touched int64
}

type problem struct {
	Reason string `json:"reason"`
	Rows   int64  `json:"rows"`
}

type sampleLine struct {
	Customer  string    `json:"customer_id"`
	Order     string    `json:"order_id"`
	OrderedAt time.Time `json:"ordered_at"`
	SKU       string    `json:"sku"`
	Category  string    `json:"category"`
	Quantity  int32     `json:"quantity"`
	NetCents  int64     `json:"net_cents"`
}

// Run imports files.
func (c *importCommand) Run(a *app) (err error) {
	options, err := c.options()
	if err != nil {
		return err
	}
	for _, file := range c.Files {
		if file != "-" {
			if _, err := os.Stat(file); err != nil {
				return cannotOpen(file, err)
			}
		}
	}
	began := a.now()
	rejects := &rejectsFile{path: c.rejectsPath(), several: len(c.Files) > 1}
	if c.DryRun {
		rejects.path = ""
	}
	var result importResult
	if c.DryRun {
		result, err = c.look(a, options)
	} else {
		result, err = c.merge(a, options, rejects)
	}
	if err = errors.Join(err, rejects.close()); err != nil {
		return err
	}
	result.Store, result.RejectsFile, result.Seconds = c.Store, rejects.written(), seconds(began, a.now())
	return a.print(result, func(w io.Writer) { result.describe(w, c.DryRun) })
}

func (c *importCommand) options() (ingest.Options, error) {
	var o ingest.Options
	var err error
	if c.Map != "" {
		if o.Mapping, err = ingest.ParseMapping(c.Map); err != nil {
			return o, err
		}
	}
	if c.Currency != "" {
		if o.Currency, err = jobs.Currency(c.Currency); err != nil {
			return o, err
		}
	}
	if c.DayFirst || c.MonthFirst {
		o.DayFirst = &c.DayFirst
	}
	if c.Products != "" {
		file, err := ingest.Open(c.Products)
		if err != nil {
			return o, cannotOpen(c.Products, err)
		}
		defer file.Close()
		if o.Products, err = ingest.ReadProducts(file); err != nil {
			return o, err
		}
	}
	return o, nil
}

func cannotOpen(file string, err error) error {
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		err = failed.Err
	}
	return engine.Errorf(engine.CodeNotFound, "%s cannot be opened: %s", file, err)
}

// openSource opens a file; standard input is the program's own.
func (a *app) openSource(file string) (io.ReadCloser, error) {
	if file == "-" && a.in != os.Stdin {
		return io.NopCloser(a.in), nil
	}
	return ingest.Open(file)
}

func (c *importCommand) merge(a *app, options ingest.Options, rejects *rejectsFile) (result importResult, err error) {
	o, err := a.officeWith(jobs.DefaultSettings())
	if err != nil {
		return result, err
	}
	defer closing(o, &err)
	store, err := c.store(a, o, options)
	if err != nil {
		return result, err
	}
	var sources []jobs.Source
	for _, file := range c.Files {
		sources = append(sources, jobs.Source{Name: filepath.Base(file), Open: func() (io.ReadCloser, error) { return a.openSource(file) }})
	}
	bar := a.bar("rows")
	report, err := o.queue.Import(a.ctx, store, sources, options, rejects.add, bar.count)
	bar.end()
	result = importResult{
		Rows: report.Rows, Imported: report.Imported, Changed: &report.Changed, Guests: report.Guests, Rejected: report.Rejected,
		Orders: report.Orders, Customers: report.Customers, Format: report.Format, Currency: orNil(report.Currency), Problems: problems(report.Problems), touched: report.Touched,
	}
	if report.RescoreRun != "" {
		result.RescoreRun = &report.RescoreRun
	}
	return result, err
}

// store gives the store, making it if it is new: but not for a first file that turns out to hold no orders.
func (c *importCommand) store(a *app, o *office, options ingest.Options) (*engine.Store, error) {
	store, err := o.db.StoreByKey(a.ctx, c.Store)
	if engine.CodeOf(err) != engine.CodeNotFound {
		return store, err
	}
	if first := c.Files[0]; first != "-" {
		if err := a.recognise(first, options); err != nil {
			return nil, err
		}
	}
	return o.db.EnsureStore(a.ctx, c.Store)
}

// errRecognised ends the reading of a file that holds an order.
var errRecognised = errors.New("the file holds an order")

func (a *app) recognise(path string, options ingest.Options) error {
	file, err := ingest.Open(path)
	if err != nil {
		return cannotOpen(path, err)
	}
	defer file.Close()
	options.Now = a.now()
	_, err = ingest.Read(a.ctx, file, options, func(ingest.Record) error { return errRecognised }, nil)
	if errors.Is(err, errRecognised) {
		return nil
	}
	return err
}

// look reads files without a database: a dry run leaves nothing behind, so times without a zone are read as UTC.
func (c *importCommand) look(a *app, options ingest.Options) (importResult, error) {
	result := importResult{Mapping: map[string]string{}, Sample: []sampleLine{}}
	options.Now = a.now()
	counts := map[string]int64{}
	customers := map[string]struct{}{}
	for _, path := range c.Files {
		summary, err := a.read(path, options, func(r ingest.Record) error {
			customers[r.Customer] = struct{}{}
			return nil
		})
		if err != nil {
			return result, err
		}
		result.Format = summary.Format
		if summary.Currency != "" {
			result.Currency = &summary.Currency
			options.Currency = summary.Currency // the store's by now
		}
		result.Rows += summary.Rows
		result.Imported += summary.Imported
		result.Guests += summary.Guests
		result.Rejected += summary.Rejected
		result.Orders += summary.Orders
		maps.Copy(result.Mapping, summary.Mapping)
		for reason, rows := range summary.Problems {
			counts[string(reason)] += rows
		}
		if len(result.Sample) == 0 {
			result.Sample = samples(summary.Sample)
		}
	}
	result.Customers, result.Problems = int64(len(customers)), problems(counts)
	return result, nil
}

func (a *app) read(path string, options ingest.Options, record func(ingest.Record) error) (ingest.Summary, error) {
	file, err := a.openSource(path)
	if err != nil {
		return ingest.Summary{}, cannotOpen(path, err)
	}
	defer file.Close()
	return ingest.Read(a.ctx, file, options, record, nil)
}

func samples(records []ingest.Record) []sampleLine {
	lines := make([]sampleLine, len(records))
	for i, r := range records {
		lines[i] = sampleLine{
			Customer: r.Customer, Order: r.OrderID, OrderedAt: r.OrderedAt, SKU: r.SKU, Category: r.Category, Quantity: r.Quantity, NetCents: r.NetCents,
		}
	}
	return lines
}

// problems lists counts, the largest first.
func problems(counts map[string]int64) []problem {
	list := []problem{}
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		if counts[reason] > 0 {
			list = append(list, problem{reason, counts[reason]})
		}
	}
	slices.SortStableFunc(list, func(x, y problem) int { return int(y.Rows - x.Rows) })
	return list
}

func (r *importResult) describe(w io.Writer, dryRun bool) {
	fmt.Fprintf(w, "%s: %s rows (%s), %s lines of %s customers", r.Store, number(r.Rows), r.Format, number(r.Imported), number(r.Customers))
	if r.Changed != nil {
		fmt.Fprintf(w, ", %s changed", number(*r.Changed))
	}
	fmt.Fprintf(w, ", %.1f s\n", r.Seconds)
	if r.Currency != nil {
		fmt.Fprintf(w, "  amounts are in %s\n", *r.Currency)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "  set aside: %s rows, %s\n", number(p.Rows), strings.ToLower(strings.ReplaceAll(p.Reason, "_", " ")))
	}
	if r.RejectsFile != nil {
		fmt.Fprintf(w, "  they are in %s\n", *r.RejectsFile)
	}
	if r.RescoreRun != nil {
		fmt.Fprintf(w, "  %s customers are to be scored anew, by a process that serves with jobs: run %s\n", number(r.touched), *r.RescoreRun)
	}
	if dryRun {
		fmt.Fprintln(w, "  nothing was kept: this was a dry run")
	}
}

func (c *importCommand) rejectsPath() string {
	if c.Rejects != "" {
		return c.Rejects
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:`, r) || r < ' ' {
			return '_'
		}
		return r
	}, c.Store)
	return name + ".rejects.csv"
}

// rejectsFile takes the rows that are set aside; there is none until there is a row.
type rejectsFile struct {
	path    string
	several bool // several sources: each row says which
	file    *os.File
	buffer  *bufio.Writer
	writer  *ingest.RejectWriter
}

func (f *rejectsFile) add(source string, row ingest.Reject) error {
	if f.file == nil {
		file, err := os.Create(f.path)
		if err != nil {
			return engine.Errorf(engine.CodeInvalid, "the rows that are set aside cannot be written to %s: name another file with --rejects", f.path)
		}
		f.file, f.buffer = file, bufio.NewWriter(file)
		f.writer = ingest.NewRejectWriter(f.buffer)
	}
	if f.several {
		row.Detail = source + ": " + row.Detail
	}
	return f.writer.Write(row)
}

func (f *rejectsFile) written() *string {
	if f.file == nil {
		return nil
	}
	return &f.path
}

func (f *rejectsFile) close() error {
	if f.file == nil {
		return nil
	}
	return errors.Join(f.buffer.Flush(), f.file.Close())
}
