package backtest

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
)

// quickParams make segments in a moment; how good they are is another package's affair.
func quickParams() engine.Params {
	p := engine.DefaultParams()
	p.ChooseK, p.Hierarchical, p.Starts, p.MaxIterations = false, false, 1, 20
	return p
}

// store is a store of the sample data.
type store struct {
	customers   []Customer
	columns     engine.Columns
	first, last engine.Date
}

// cdnow is the 1/10 sample of CDNOW, read once.
var cdnow = sync.OnceValues(func() (*store, error) { return readStore("cdnow_sample.csv.gz", 0) })

func sample(tb testing.TB) *store {
	tb.Helper()
	s, err := cdnow()
	switch {
	case errors.Is(err, os.ErrNotExist) && os.Getenv("CI") != "true":
		tb.Skipf("the sample data are not there: %v", err)
	case err != nil:
		tb.Fatalf("reading CDNOW: %v", err)
	}
	return s
}

func readStore(name string, columns engine.Columns) (*store, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(dir, "..", "..", "..", "shared", "data", name))
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	rows := csv.NewReader(unzipped)
	rows.ReuseRecord = true
	if _, err := rows.Read(); err != nil { // header
		return nil, err
	}
	s := &store{columns: columns, first: math.MaxInt32}
	places := map[string]int{}
	for n := 0; ; n++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		l, err := lineOf(row, n)
		if err != nil {
			return nil, err
		}
		if row[1] == "" {
			continue
		}
		place, ok := places[row[1]]
		if !ok {
			place = len(s.customers)
			places[strings.Clone(row[1])] = place
			s.customers = append(s.customers, Customer{ID: int64(place + 1)})
		}
		s.customers[place].Lines = append(s.customers[place].Lines, l)
		day := engine.DateOf(l.OrderedAt, time.UTC)
		s.first, s.last = min(s.first, day), max(s.last, day)
	}
}

func lineOf(row []string, n int) (l engine.Line, err error) {
	if l.OrderedAt, err = time.Parse(time.RFC3339, row[3]); err != nil {
		return l, err
	}
	quantity, err := strconv.Atoi(row[6])
	if err != nil {
		return l, err
	}
	price, err := strconv.ParseFloat(row[7], 64)
	if err != nil {
		return l, err
	}
	l.OrderKey, l.Number = strings.Clone(row[2]), 1
	if l.OrderKey == "" {
		l.OrderKey = strconv.Itoa(n)
	}
	l.SKU, l.Quantity = strings.Clone(strings.ToLower(row[4])), int32(quantity)
	l.NetCents = int64(math.Round(100 * float64(quantity) * price))
	return l, nil
}

// orders gives the store as a plan's backtest reads it.
func (s *store) orders(p *Plan) Orders {
	o := Orders{
		Zone: time.UTC, Columns: s.columns, Customers: len(s.customers), Params: quickParams(),
		Each: func() iter.Seq2[Customer, error] {
			return func(yield func(Customer, error) bool) {
				for _, c := range s.customers {
					if !yield(c, nil) {
						return
					}
				}
			}
		},
	}
	o.At = func(days []engine.Date) (at []engine.Instant, err error) {
		var months []engine.Date
		for _, d := range days {
			months = append(months, d.Month())
		}
		references := feature.NewReferenceBuilder(time.UTC, s.columns, slices.Compact(months))
		for _, c := range s.customers {
			references.Add(c.Lines)
		}
		byMonth := map[engine.Date]*engine.Reference{}
		for _, r := range references.References() {
			byMonth[r.Month] = r
		}
		for _, d := range days {
			at = append(at, engine.Instant{At: d.UTC(), Reference: byMonth[d.Month()]})
		}
		return at, nil
	}
	return o
}

// plan of the store's whole time.
func (s *store) plan(tb testing.TB, options Options) *Plan {
	tb.Helper()
	p, err := NewPlan(options, s.first, s.last+1)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}
