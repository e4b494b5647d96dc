package btyd

import (
	"compress/gzip"
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// cdnow is CDNOW (Fader, Hardie 2001), calibrated on 1997-01-01 to 1997-09-30.
type cdnow struct {
	histories []History
	spends    []Spend
}

// loadCDNOW reads the 1/10 sample; a purchase is a distinct customer-day with positive quantity.
func loadCDNOW(t testing.TB) cdnow {
	t.Helper()
	return load(t, readSample)
}

func load(t testing.TB, read func() (cdnow, error)) cdnow {
	t.Helper()
	data, err := read()
	if os.IsNotExist(err) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CDNOW must be there in CI: %v", err)
		}
		t.Skip("shared/data does not lie beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var (
	readSample = sync.OnceValues(func() (cdnow, error) { return readCDNOW("cdnow_sample.csv.gz") })
	readFull   = sync.OnceValues(func() (cdnow, error) { return readCDNOW("cdnow_full.csv.gz") })
)

func readCDNOW(name string) (cdnow, error) {
	path, err := filepath.Abs(filepath.Join("../../../shared/data", name))
	if err != nil {
		return cdnow{}, err
	}
	file, err := os.Open(path)
	if err != nil {
		return cdnow{}, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return cdnow{}, err
	}
	rows, err := csv.NewReader(unzipped).ReadAll()
	if err != nil {
		return cdnow{}, err
	}

	end := time.Date(1997, 9, 30, 0, 0, 0, 0, time.UTC)
	value := map[string]map[int]float64{} // by customer and day before the end
	var order []string
	for _, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339, row[3])
		if err != nil {
			return cdnow{}, err
		}
		quantity, err := strconv.ParseFloat(row[6], 64)
		if err != nil {
			return cdnow{}, err
		}
		price, err := strconv.ParseFloat(row[7], 64)
		if err != nil {
			return cdnow{}, err
		}
		day := int(math.Floor(end.Sub(at).Hours() / 24))
		if day < 0 || quantity <= 0 {
			continue
		}
		if value[row[1]] == nil {
			value[row[1]] = map[int]float64{}
			order = append(order, row[1])
		}
		value[row[1]][day] += math.Round(quantity*price*100) / 100
	}

	var data cdnow
	for _, customer := range order {
		first, last, total := -1, math.MaxInt, 0.0
		for day := range value[customer] {
			first, last = max(first, day), min(last, day)
		}
		for day, v := range value[customer] {
			if day != first {
				total += v
			}
		}
		x := len(value[customer]) - 1
		data.histories = append(data.histories, HistoryOfDays(x, first-last, first))
		if x > 0 {
			data.spends = append(data.spends, Spend{X: x, Mean: total / float64(x)})
		}
	}
	return data, nil
}
