package ingest

import (
	"context"
	"hash/maphash"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/quimbi/quimbi/engine"
)

// sink is where every row ends: it numbers and counts records, and counts what is set aside.
type sink struct {
	ctx       context.Context
	record    func(Record) error
	reject    func(Reject) error
	sum       Summary
	products  Products
	keys      keyMaker
	customers tally
	seed      maphash.Seed

	lastCustomer string // rows of a customer mostly follow each other
	lastLine     int64
}

func newSink(ctx context.Context, o *Options, record func(Record) error, reject func(Reject) error) *sink {
	return &sink{
		ctx: ctx, record: record, reject: reject, products: o.Products, seed: maphash.MakeSeed(),
		sum: Summary{Mapping: map[string]string{}, Problems: map[Reason]int64{}},
	}
}

// row notes that a data row was read. Every row is noted once, and ends in keep, drop or supersede.
func (s *sink) row(line int64) error {
	s.sum.Rows++
	s.lastLine = line
	if s.sum.Rows%1024 == 0 {
		return s.ctx.Err()
	}
	return nil
}

// keep completes a record with category, key and number, and hands it over.
func (s *sink) keep(r *Record) error {
	if r.Category == "" && r.SKU != "" {
		r.Category = s.products[r.SKU]
	}
	s.keys.name(r)
	if r.OrderID == "" || r.LineNo == 1 {
		s.sum.Orders++
	}
	if r.Customer != s.lastCustomer {
		s.lastCustomer = r.Customer
		if s.customers.insert(maphash.String(s.seed, r.Customer)) {
			s.sum.Customers++
		}
	}
	s.sum.Imported++
	s.sum.Columns |= r.Columns()
	if len(s.sum.Sample) < sampleSize {
		s.sum.Sample = append(s.sum.Sample, *r)
	}
	if s.record == nil {
		return nil
	}
	return s.record(*r)
}

// Columns are the optional columns that the record fills.
func (r *Record) Columns() (c engine.Columns) {
	if r.OrderID != "" {
		c |= engine.ColumnOrderID
	}
	if r.SKU != "" {
		c |= engine.ColumnSKU
	}
	if r.Category != "" {
		c |= engine.ColumnCategory
	}
	if r.HasDiscount {
		c |= engine.ColumnDiscount
	}
	if r.KnowsReturns {
		c |= engine.ColumnReturns
	}
	if r.HasTime {
		c |= engine.ColumnTimeOfDay
	}
	return c
}

// maxRaw is how much of a row a reject shows.
const maxRaw = 64 << 10

// drop sets a row aside.
func (s *sink) drop(line int64, f *fault, orderID, raw string) error {
	return s.dropOf(time.Time{}, line, f, orderID, raw)
}

// dropOf sets a row of an order aside that was cancelled then.
func (s *sink) dropOf(cancelled time.Time, line int64, f *fault, orderID, raw string) error {
	s.sum.Problems[f.reason]++
	if f.reason == ReasonGuest {
		s.sum.Guests++
	} else {
		s.sum.Rejected++
	}
	if s.reject == nil {
		return nil
	}
	return s.reject(Reject{Line: line, Reason: f.reason, Detail: f.detail, Raw: raw, OrderID: orderID, CancelledAt: cancelled})
}

// printable makes a row's bytes fit for a text file.
func printable(raw []byte) string {
	if !utf8.Valid(raw) {
		return cut(decodeLatin1(raw))
	}
	return cut(string(raw))
}

func cut(s string) string {
	if len(s) > maxRaw {
		s = s[:maxRaw]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "")
}

// fault is why a row cannot be kept.
type fault struct {
	reason Reason
	detail string
}
