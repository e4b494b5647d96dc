package ingest

import (
	"bytes"
	"encoding/csv"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func sequence(records []Record) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// What the tool exports, it reads again as the very same records. Of each file the first 4 MiB, for the time it takes.
func TestExportOfRealFiles(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"cdnow_full.csv.gz", "online_retail_2010_2011.csv.gz", "superstore.csv.gz", "raw/CDNOW_sample.txt.gz",
		"raw/online_retail_raw_2010-12-01_05.csv.gz", "raw/shopify_orders_export.csv", "raw/shopify_orders_export_dirty.csv",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := Open(dataFile(t, name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			first, err := readAll(t, io.LimitReader(f, 4<<20), Options{Zone: newYork(t)})
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			if err := WriteNormalised(&file, "EUR", sequence(first.records)); err != nil {
				t.Fatal(err)
			}
			again, err := readAll(t, &file, Options{Zone: newYork(t)})
			if err != nil || again.Format != FormatNormalised || again.Rows != first.Imported || len(again.rejects) > 0 {
				t.Fatal(err, again.Summary)
			}
			for i, want := range first.records {
				got := again.records[i]
				if got.Line = want.Line; got != want {
					t.Fatal(cmp.Diff(want, got))
				}
			}
		})
	}
}

// Any record that Read can give survives.
func TestExportOfAnyRecord(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[a-zé~",;#\n]{0,3}[a-z0-9.'-]{1,5}`)
	rapid.Check(t, func(t *rapid.T) {
		r := Record{
			Customer: text.Draw(t, "customer"), OrderID: text.Draw(t, "order"), SKU: text.Draw(t, "sku"), Category: text.Draw(t, "category"),
			OrderedAt: time.UnixMicro(rapid.Int64Range(1e15, 17e14).Draw(t, "at")).UTC(), Quantity: rapid.Int32Range(1, 1<<31-1).Draw(t, "quantity"),
			NetCents: rapid.Int64Range(0, maxCents/2).Draw(t, "net"), HasDiscount: rapid.Bool().Draw(t, "has discount"), LineNo: 1, Line: 2,
		}
		r.OrderKey, r.HasTime = "~abcdefghijklmnop", true // a key that was made of a time in another zone
		if r.HasDiscount {
			r.DiscountCents = rapid.Int64Range(0, maxCents/2).Draw(t, "discount")
		}
		switch rapid.IntRange(0, 3).Draw(t, "returns") {
		case 1:
			r.KnowsReturns = true
		case 2:
			r.KnowsReturns = true
			r.RefundCents = rapid.Int64Range(0, r.NetCents).Draw(t, "refund")
			if r.RefundCents > 0 {
				r.RefundedAt = r.OrderedAt.Add(time.Hour)
			}
		case 3:
			r.KnowsReturns, r.Quantity, r.NetCents = true, -r.Quantity, -r.NetCents
		}
		if rapid.Bool().Draw(t, "cancelled") {
			r.CancelledAt = r.OrderedAt.Add(time.Minute)
		}
		if rapid.Bool().Draw(t, "no order id") {
			r.OrderID = ""
		}
		var file bytes.Buffer
		if err := WriteNormalised(&file, "EUR", sequence([]Record{r})); err != nil {
			t.Fatal(err)
		}
		var got []Record
		var away []Reject
		_, err := Read(t.Context(), bytes.NewReader(file.Bytes()), Options{},
			func(r Record) error { got = append(got, r); return nil }, func(r Reject) error { away = append(away, r); return nil })
		r.Customer, r.SKU, r.Category = strings.TrimSpace(r.Customer), strings.TrimSpace(r.SKU), strings.TrimSpace(r.Category)
		if r.OrderID = strings.TrimSpace(r.OrderID); r.OrderID != "" {
			r.OrderKey = OrderKey(r.OrderID)
		}
		if diff := cmp.Diff([]Record{r}, got); diff != "" || err != nil {
			t.Fatal(file.String(), diff, away, err)
		}
	})
}

func TestRejectWriter(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	w := NewRejectWriter(&file)
	want := []Reject{
		{Line: 3, Reason: ReasonGuest, Detail: "no customer", Raw: `,"a ""b""",c`, OrderID: "7"},
		{Line: 9, Reason: ReasonUnreadable, Detail: `not a date: "x, y"`, Raw: "two\nlines"},
	}
	for _, r := range want {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := csv.NewReader(&file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	table := [][]string{
		{"line", "reason", "detail", "row"},
		{"3", "GUEST", want[0].Detail, want[0].Raw},
		{"9", "UNREADABLE", want[1].Detail, want[1].Raw},
	}
	if diff := cmp.Diff(table, rows, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}
