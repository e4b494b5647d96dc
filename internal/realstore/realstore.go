// Package realstore gives tests the stores of the sample data, as lines by customer.
package realstore

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
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
)

// Store is a store of the sample data with its lines by customer.
type Store struct {
	Columns   engine.Columns
	Customers [][]engine.Line // in order of time
	Lines     int
	From, To  engine.Date // [From, To)
}

// stores are read once for all tests.
var stores = map[string]func() (*Store, error){
	"cdnow": sync.OnceValues(func() (*Store, error) {
		return readStore("cdnow_full.csv.gz", 0)
	}),
	"cdnow sample": sync.OnceValues(func() (*Store, error) {
		return readStore("cdnow_sample.csv.gz", 0)
	}),
	"online retail": sync.OnceValues(func() (*Store, error) {
		return readStore("online_retail_2010_2011.csv.gz", engine.ColumnOrderID|engine.ColumnSKU|engine.ColumnReturns|engine.ColumnTimeOfDay)
	}),
	"superstore": sync.OnceValues(func() (*Store, error) {
		return readStore("superstore.csv.gz", engine.ColumnOrderID|engine.ColumnSKU|engine.ColumnCategory|engine.ColumnDiscount|engine.ColumnReturns)
	}),
}

// Load gives a store, and skips where the data are not there, which continuous integration must not.
func Load(tb testing.TB, name string) *Store {
	tb.Helper()
	read, known := stores[name]
	if !known {
		tb.Fatalf("there is no store %q in the sample data", name)
	}
	store, err := read()
	switch {
	case errors.Is(err, os.ErrNotExist) && os.Getenv("CI") != "true":
		tb.Skipf("the sample data are not there: %v", err)
	case err != nil:
		tb.Fatalf("reading %s: %v", name, err)
	}
	return store
}

// dataFile finds a file of the data folder, which stands beside the module's.
func dataFile(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared", "data", name), nil
		}
		if filepath.Dir(dir) == dir {
			return "", os.ErrNotExist
		}
		dir = filepath.Dir(dir)
	}
}

func readStore(file string, have engine.Columns) (*Store, error) {
	path, err := dataFile(file)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	rows := csv.NewReader(unzipped)
	rows.ReuseRecord = true
	if _, err := rows.Read(); err != nil { // header
		return nil, err
	}
	store := &Store{Columns: have, From: math.MaxInt32}
	places := map[string]int{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if row[1] == "" {
			continue
		}
		l, err := readLine(row, store.Lines)
		if err != nil {
			return nil, err
		}
		if l.Quantity == 0 {
			continue
		}
		place, ok := places[row[1]]
		if !ok {
			place = len(store.Customers)
			places[strings.Clone(row[1])] = place
			store.Customers = append(store.Customers, nil)
		}
		store.Customers[place] = append(store.Customers[place], l)
		store.Lines++
		day := engine.DateOf(l.OrderedAt, time.UTC)
		store.From, store.To = min(store.From, day), max(store.To, day+1)
	}
	for _, lines := range store.Customers {
		slices.SortStableFunc(lines, func(a, b engine.Line) int { return a.OrderedAt.Compare(b.OrderedAt) })
	}
	return store, nil
}

// readLine reads store_id,customer_id,order_id,ordered_at,sku,category,quantity,unit_price,discount,refunded.
func readLine(row []string, number int) (engine.Line, error) {
	at, err := time.Parse(time.RFC3339, row[3])
	if err != nil {
		return engine.Line{}, err
	}
	quantity, err := strconv.Atoi(row[6])
	if err != nil {
		return engine.Line{}, err
	}
	price, err := strconv.ParseFloat(row[7], 64)
	if err != nil {
		return engine.Line{}, err
	}
	discount := 0.0
	if row[8] != "" {
		if discount, err = strconv.ParseFloat(row[8], 64); err != nil {
			return engine.Line{}, err
		}
	}
	l := engine.Line{
		OrderKey: strings.Clone(row[2]), Number: int32(number), OrderedAt: at,
		SKU: strings.ToLower(strings.TrimSpace(row[4])), Category: strings.Clone(row[5]),
		Quantity:      int32(quantity),
		NetCents:      int64(math.Round((float64(quantity)*price - discount) * 100)),
		DiscountCents: int64(math.Round(discount * 100)),
	}
	if l.OrderKey == "" {
		l.OrderKey = fmt.Sprint("row ", number)
	}
	if row[9] == "true" && quantity > 0 {
		l.RefundCents = l.NetCents
	}
	return l, nil
}
