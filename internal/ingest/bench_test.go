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

// TestMemory: what a file of 200,000 rows leaves in use while it is read, the most demanding kind included: no order ids.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 200,000 rows")
	}
	for _, withOrders := range []bool{false, true} {
		const rows = 200_000
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		highest, n := uint64(0), 0
		source := bufio.NewReaderSize(&rowSource{rows: rows, withOrders: withOrders}, 1<<16)
		sum, err := Read(t.Context(), source, Options{Now: today}, func(Record) error {
			if n++; n%20_000 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&now)
				highest = max(highest, now.HeapAlloc-before.HeapAlloc)
			}
			return nil
		}, nil)
		if err != nil || sum.Imported != rows {
			t.Fatal(err, sum)
		}
		// 8 bytes a line or order at a load of 0.4 to 0.8, the same for customers, and the buffers.
		if t.Logf("orders %v: %d KiB in use", withOrders, highest>>10); highest > 12<<20 {
			t.Errorf("%d MiB in use", highest>>20)
		}
	}
}
