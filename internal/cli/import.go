package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/localpg"
	"github.com/quimbi/quimbi/jobs"
)

type importCommand struct {
	Store      string   `required:"" placeholder:"KEY" help:"The store; it is made if it is new."`
	Files      []string `arg:"" name:"file" help:"Order files, also compressed by gzip; - is standard input."`
	DryRun     bool     `help:"Read the files and tell what they hold and how they are read, but keep nothing."`
	Map        string   `placeholder:"FIELD=HEADER,...|@FILE" help:"Which columns of a foreign file hold what, for example customer_id=Client,ordered_at=Date; or a file that says so, a field on each line."`
	Products   string   `placeholder:"FILE" help:"A table of articles (sku, category) for orders without categories."`
	Currency   string   `placeholder:"CODE" help:"The currency of a store that has none yet; orders in others are set aside. Without it, what the orders say first."`
	DayFirst   bool     `xor:"dates" help:"Read 7/8/2017 as 7 August."`
	MonthFirst bool     `xor:"dates" help:"Read 7/8/2017 as 8 July."`
	// Of numbers with one sign before three digits.
	DecimalPoint bool   `xor:"numbers" help:"Read 1.234 as one and a bit, 1,234 as a thousand."`
	DecimalComma bool   `xor:"numbers" help:"Read 1,234 as one and a bit, 1.234 as a thousand."`
	Rejects      string `placeholder:"FILE" help:"Where rows that are set aside are written; KEY.rejects.csv unless set."`
}

// importResult is what an import or a dry run tells. rows = imported + superseded + guests + rejected.
type importResult struct {
	Store       string    `json:"store"`
	Rows        int64     `json:"rows"`
	Imported    int64     `json:"imported"`
	Changed     *int64    `json:"changed"` // null in a dry run: only a merge tells
	Guests      int64     `json:"guests"`
	Rejected    int64     `json:"rejected"`
	Superseded  int64     `json:"superseded"`
	Orders      int64     `json:"orders"`
	Customers   int64     `json:"customers"`
	RejectsFile *string   `json:"rejects_file"`
	Format      string    `json:"format"`
	Dates       string    `json:"dates"`    // how 7/8/2017 was read; empty where no date left it open
	Numbers     string    `json:"numbers"`  // how 1.234 was read; empty where no number had a point or a comma
	Currency    *string   `json:"currency"` // null where the orders do not say
	Problems    []problem `json:"problems"`
	RescoreRun  *string   `json:"rescore_run"` // null where nobody is to be scored anew
	Seconds     float64   `json:"seconds"`
	*look

	touched int64
}

// look is what a dry run tells beside the counts. Of several files, format, mapping and the like are those of the last, and files
// has them all.
type look struct {
	Mapping  map[string]string `json:"mapping"`
	Sample   []sampleLine      `json:"sample"`
	TimeZone string            `json:"time_zone"` // of times that state none: the store's
	Statuses []string          `json:"purchase_statuses"`
	Files    []fileLook        `json:"files"`

	store *engine.Store // nil: it is new
}

// fileLook is how one file was read.
type fileLook struct {
	File     string            `json:"file"`
	Rows     int64             `json:"rows"`
	Format   string            `json:"format"`
	Dates    string            `json:"dates"`
	Numbers  string            `json:"numbers"`
	Currency *string           `json:"currency"`
	Mapping  map[string]string `json:"mapping"`
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
	boundMemory(a.env, importMemory)
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
		if o.Mapping, err = mapping(c.Map); err != nil {
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
	if c.DecimalPoint || c.DecimalComma {
		o.DecimalComma = &c.DecimalComma
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

// mapping reads what --map says. What begins with @, or has no "=", is the name of a mapping file.
func mapping(text string) (map[string]string, error) {
	if path, file := strings.CutPrefix(text, "@"); file || !strings.Contains(text, "=") {
		return ingest.ReadMapping(path)
	}
	return ingest.ParseMapping(text)
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
		Rows: report.Rows, Imported: report.Imported, Changed: &report.Changed, Superseded: report.Superseded, Guests: report.Guests, Rejected: report.Rejected,
		Orders: report.Orders, Customers: report.Customers, Format: report.Format, Currency: orNil(report.Currency), Dates: report.Dates, Numbers: report.Numbers,
		Problems: problems(report.Problems), touched: report.Touched,
	}
	if report.RescoreRun != "" {
		result.RescoreRun = &report.RescoreRun
	}
	return result, err
}

// store gives the store, making it if it is new: but not for a first file that begins like none of orders.
func (c *importCommand) store(a *app, o *office, options ingest.Options) (*engine.Store, error) {
	store, err := o.db.StoreByKey(a.ctx, c.Store)
	if engine.CodeOf(err) != engine.CodeNotFound {
		return store, err
	}
	if first := c.Files[0]; first != "-" {
		file, err := ingest.Open(first)
		if err != nil {
			return nil, cannotOpen(first, err)
		}
		defer file.Close()
		options.Now = a.now()
		if err := recognise(a.ctx, file, options); err != nil {
			return nil, err
		}
	}
	return o.db.EnsureStore(a.ctx, c.Store)
}

// recognisedBy is how much of a file tells whether it holds orders: the exports of shops are handed over at their end alone.
const recognisedBy = 1 << 20

// errRecognised ends the reading of a file that holds an order.
var errRecognised = errors.New("the file holds an order")

// recognise refuses a file that by its beginning is none of orders.
func recognise(ctx context.Context, file io.Reader, options ingest.Options) error {
	_, err := ingest.Read(ctx, io.LimitReader(file, recognisedBy), options, func(ingest.Record) error { return errRecognised }, nil)
	if errors.Is(err, errRecognised) {
		return nil
	}
	return err
}

// look reads files as an import would, by what is set for the store if there is one, and leaves nothing behind.
func (c *importCommand) look(a *app, options ingest.Options) (importResult, error) {
	store, err := a.storeIfAny(c.Store)
	if err != nil {
		return importResult{}, err
	}
	look := &look{Mapping: map[string]string{}, Sample: []sampleLine{}, TimeZone: time.UTC.String(), Statuses: []string{}, Files: []fileLook{}, store: store}
	options.Now = a.now()
	if store != nil {
		if options, err = jobs.FileOptions(options, store, a.now()); err != nil {
			return importResult{}, err
		}
		look.TimeZone = store.Zone.String()
		look.Statuses = append(look.Statuses, store.PurchaseStatuses...)
	}
	result := importResult{look: look}
	counts := map[string]int64{}
	customers, seed := map[uint64]struct{}{}, maphash.MakeSeed() // of several files together, as hashes: there may be millions
	note := func(r ingest.Record) error {
		customers[maphash.String(seed, r.Customer)] = struct{}{}
		return nil
	}
	if len(c.Files) == 1 {
		note = nil
	}
	for _, path := range c.Files {
		summary, err := a.read(path, options, note)
		if err != nil {
			return result, err
		}
		result.add(&summary)
		options.Currency = cmp.Or(summary.Currency, options.Currency) // the store's by now
		look.add(filepath.Base(path), &summary)
		for reason, rows := range summary.Problems {
			counts[string(reason)] += rows
		}
	}
	if result.Problems = problems(counts); len(c.Files) > 1 {
		result.Customers = int64(len(customers))
	}
	return result, nil
}

// storeIfAny gives the store, or nil where there is none. A private server is not made for the question, and no schema either.
func (a *app) storeIfAny(key string) (_ *engine.Store, err error) {
	if a.DatabaseURL == "" {
		folder, err := a.dataDir()
		if err != nil {
			return nil, err
		}
		if there, err := localpg.Exists(folder); err != nil || !there {
			return nil, err
		}
	}
	s, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer closing(s, &err)
	return s.db.StoreIfAny(a.ctx, key)
}

// add takes in what a file held.
func (r *importResult) add(s *ingest.Summary) {
	r.Format, r.Dates, r.Numbers = s.Format, s.Dates, s.Numbers
	r.Currency = cmp.Or(orNil(s.Currency), r.Currency)
	r.Rows += s.Rows
	r.Imported += s.Imported
	r.Superseded += s.Superseded
	r.Guests += s.Guests
	r.Rejected += s.Rejected
	r.Orders += s.Orders
	r.Customers = s.Customers // of several files look counts them together
}

func (l *look) add(file string, s *ingest.Summary) {
	l.Mapping = s.Mapping
	if len(l.Sample) == 0 {
		l.Sample = samples(s.Sample)
	}
	l.Files = append(l.Files, fileLook{
		File: file, Rows: s.Rows, Format: s.Format, Dates: s.Dates, Numbers: s.Numbers, Currency: orNil(s.Currency), Mapping: s.Mapping,
	})
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
	if r.Superseded > 0 {
		fmt.Fprintf(w, "  superseded: %s, of orders that stand again further on\n", rows(r.Superseded))
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "  set aside: %s, %s\n", rows(p.Rows), strings.ToLower(strings.ReplaceAll(p.Reason, "_", " ")))
	}
	if r.RejectsFile != nil {
		fmt.Fprintf(w, "  they are in %s\n", *r.RejectsFile)
	}
	if !dryRun {
		describeReading(w, r.Dates, r.Numbers)
	}
	if r.RescoreRun != nil {
		fmt.Fprintf(w, "  %s customers are to be scored anew, by a process that serves with jobs: run %s\n", number(r.touched), *r.RescoreRun)
	}
	if dryRun {
		r.look.describe(w, r.Store)
		fmt.Fprintln(w, "\nNothing was kept: this was a dry run.")
	}
}

func rows(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return number(n) + " rows"
}

// describeReading tells how dates and numbers were read that leave it open.
func describeReading(w io.Writer, dates, numbers string) {
	if dates != "" {
		fmt.Fprintf(w, "  dates such as 7/8/2017: %s\n", dates)
	}
	switch numbers {
	case "":
	case ingest.NumbersMixed:
		fmt.Fprintln(w, "  numbers: mixed, some with a decimal point and some with a decimal comma; those that can be read both ways, such as 1.234, are set aside")
	case ingest.NumbersUndecided:
		fmt.Fprintln(w, "  numbers: undecided; those that can be read both ways, such as 1.234, are set aside: say --decimal-point or --decimal-comma")
	default:
		fmt.Fprintf(w, "  numbers such as 1.234: %s\n", numbers)
	}
}

// describe tells of every file how it was read, and shows the first lines.
func (l *look) describe(w io.Writer, key string) {
	for i := range l.Files {
		f := &l.Files[i]
		fmt.Fprintf(w, "\n%s: format %s\n", f.File, f.Format)
		if l.store == nil {
			fmt.Fprintf(w, "  times without a zone: UTC, since there is no store %s yet\n", key)
		} else {
			fmt.Fprintf(w, "  times without a zone: %s, as set for the store\n", l.TimeZone)
		}
		describeReading(w, f.Dates, f.Numbers)
		if len(l.Statuses) > 0 {
			fmt.Fprintf(w, "  purchases: orders with the status %s, as set for the store\n", strings.Join(l.Statuses, ", "))
		}
		fmt.Fprintln(w, "  columns:")
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, field := range ingest.Fields() {
			if column, ok := f.Mapping[field]; ok {
				fmt.Fprintf(t, "    %s\t= %s\n", field, column)
			}
		}
		_ = t.Flush()
	}
	if len(l.Sample) == 0 {
		return
	}
	zone := time.UTC
	if l.store != nil {
		zone = l.store.Zone
	}
	fmt.Fprintf(w, "\nThe first %d lines:\n", len(l.Sample))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  customer\torder\tordered at, %s\tsku\tcategory\tquantity\tvalue\n", l.TimeZone)
	for _, s := range l.Sample {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%d\t%.2f\n", shown(s.Customer), shown(s.Order), s.OrderedAt.In(zone).Format(time.DateTime),
			shown(s.SKU), shown(s.Category), s.Quantity, float64(s.NetCents)/100)
	}
	_ = t.Flush()
}

// shown makes a value fit for a cell of a table.
func shown(s string) string {
	const longest = 40
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-1]) + "…"
	}
	return s
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
