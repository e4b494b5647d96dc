package ingest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"
)

// BenchmarkRead measures rows a second of a file in memory, on one core.
func BenchmarkRead(b *testing.B) {
	for _, name := range []string{"cdnow_full.csv.gz", "online_retail_2010_2011.csv.gz", "superstore.csv.gz", "raw/shopify_orders_export.csv"} {
		b.Run(name, func(b *testing.B) {
			f, err := Open(dataFile(b, name))
			if err != nil {
				b.Fatal(err)
			}
			text, err := io.ReadAll(f)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			rows := int64(0)
			for b.Loop() {
				sum, err := Read(b.Context(), bytes.NewReader(text), Options{Now: today}, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				rows += sum.Rows
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// rowSource makes a normalised file of any length.
type rowSource struct {
	rows, next int
	withOrders bool
	text       []byte
	rest       []byte
}

func (s *rowSource) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.next > s.rows {
			return 0, io.EOF
		}
		s.text = s.text[:0]
		if s.next == 0 {
			s.text = append(s.text, head...)
		} else {
			order := ""
			if s.withOrders {
				order = fmt.Sprint("o", s.next/2)
			}
			s.text = fmt.Appendf(s.text, "c%d,%s,2020-01-%02dT%02d:%02d:00Z,sku-%d,Cat > %d,%d,%d.25,,false\n", s.next/12, order, s.next%28+1, s.next%24, s.next%60,
				s.next%5000, s.next%40, s.next%3+1, s.next%97)
		}
		s.next++
		s.rest = s.text
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// shopSource makes an orders export in Shopify's layout: orders of three lines, of which every tenth comes back at the end in a
// later state, refunded.
type shopSource struct {
	orders, next int
	rest         []byte
}

const (
	shopLines = 3
	shopAgain = 10
)

func (s *shopSource) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.next > s.orders+s.orders/shopAgain {
			return 0, io.EOF
		}
		s.rest = s.rows()
		s.next++
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *shopSource) rows() []byte {
	order, status := s.next, "paid"
	switch {
	case order == 0:
		return []byte(shopifyHead)
	case order > s.orders:
		order, status = (order-s.orders)*shopAgain, "refunded"
	}
	b := fmt.Appendf(nil, "#%d,c%d@example.com,%s,30.25,33,,2020-01-%02d %02d:00:00 -0500,1,A,10.25,sku-%d,,,\n", order, order/4, status, order%28+1, order%24, order%5000)
	for line := 1; line < shopLines; line++ {
		b = fmt.Appendf(b, "#%d,,,,,,,%d,B,%d.50,sku-%d,,,\n", order, line, order%90+1, (order+line)%5000)
	}
	return b
}

// TestMemory: what a file of 200,000 rows leaves in use while it is read, the most demanding kinds included: no order ids, and
// orders that may come back.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 600,000 rows")
	}
	const rows = 200_000
	for name, source := range map[string]io.Reader{
		"without orders": &rowSource{rows: rows},
		"with orders":    &rowSource{rows: rows, withOrders: true},
		"Shopify's":      &shopSource{orders: rows / shopLines},
	} {
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		highest, n := uint64(0), 0
		sum, err := Read(t.Context(), bufio.NewReaderSize(source, 1<<16), Options{Now: today}, func(Record) error {
			if n++; n%20_000 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&now)
				highest = max(highest, now.HeapAlloc-before.HeapAlloc)
			}
			return nil
		}, nil)
		if err != nil || sum.Imported+sum.Superseded != sum.Rows || sum.Rows < rows-shopLines {
			t.Fatal(err, sum)
		}
		// 8 bytes a line or order at a load of 0.4 to 0.8, the same for customers, and the buffers; for Shopify's those of the sorter.
		bound := uint64(12 << 20)
		if sum.Format == FormatShopify {
			bound = 32 << 20
		}
		if t.Logf("%s: %d KiB in use", name, highest>>10); highest > bound {
			t.Errorf("%s: %d MiB in use", name, highest>>20)
		}
	}
}

// An export that is larger than what the sorter holds in memory gives what a small one gives: the last copy of each order.
func TestShopifyOnDisk(t *testing.T) {
	t.Parallel()
	const orders = 60_000
	var refunded, lines int64
	last := ""
	sum, err := Read(t.Context(), bufio.NewReaderSize(&shopSource{orders: orders}, 1<<16), Options{Now: today}, func(r Record) error {
		if (r.OrderID != last) != (r.LineNo == 1) || r.LineNo > shopLines {
			t.Fatalf("line %d of %s follows %s", r.LineNo, r.OrderID, last)
		}
		last = r.OrderID
		if lines++; r.RefundCents == r.NetCents {
			refunded++
		}
		return nil
	}, nil)
	again := int64(orders / shopAgain * shopLines)
	if err != nil || lines != orders*shopLines || refunded != again || sum.Superseded != again || sum.Rows != lines+again || sum.Orders != orders {
		t.Errorf("%v: %d lines, %d refunded, %+v", err, lines, refunded, sum)
	}
}
