package risk

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
)

// purchases reads a file of the data folder beside the repository: the lines of positive quantity, by customer and time.
func purchases(t *testing.T, file string) [][]engine.Line {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", file))
	if errors.Is(err, os.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skipf("the sample data are not there: %v", err)
	}
	check := func(err error) {
		if err != nil {
			t.Fatalf("reading %s: %v", file, err)
		}
	}
	check(err)
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	check(err)
	rows := csv.NewReader(unzipped)
	_, err = rows.Read()
	check(err)
	places := map[string]int{}
	var customers [][]engine.Line
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		check(err)
		quantity, err := strconv.Atoi(row[6])
		check(err)
		if row[1] == "" || quantity <= 0 {
			continue
		}
		at, err := time.Parse(time.RFC3339, row[3])
		check(err)
		place, ok := places[row[1]]
		if !ok {
			place = len(customers)
			places[strings.Clone(row[1])] = place
			customers = append(customers, nil)
		}
		customers[place] = append(customers[place], engine.Line{OrderKey: row[2], Number: 1, OrderedAt: at, Quantity: int32(quantity)})
	}
	for _, lines := range customers {
		slices.SortStableFunc(lines, func(a, b engine.Line) int { return a.OrderedAt.Compare(b.OrderedAt) })
	}
	return customers
}

// future fits and calibrates on every other customer, of what was known a horizon before the end, and judges the churn risk of the
// others by what they did in that horizon.
func future(t *testing.T, customers [][]engine.Line) (p *engine.Predictor, before, after *engine.CalibrationScores) {
	t.Helper()
	var last time.Time
	for _, lines := range customers {
		if at := lines[len(lines)-1].OrderedAt; at.After(last) {
			last = at
		}
	}
	settings := engine.DefaultPredictionSettings()
	end := engine.DateOf(last, time.UTC) + 1
	asOf := end - engine.Date(settings.HorizonDays)
	b, now := feature.NewBuilder(time.UTC, 0), []engine.Instant{{At: asOf.UTC()}}
	table := &engine.Table{AsOf: asOf}
	var raw, calibrated judgement
	for i := 0; i < len(customers); i += 2 {
		b.Histories(customers[i], now, func(_ int, h engine.PurchaseHistory) { table.Histories = append(table.Histories, h) })
	}
	p, err := engine.FitPredictor(t.Context(), table, settings)
	if err != nil || p.Fault() != engine.PredictionGiven {
		t.Fatal(p.Fault(), err)
	}
	o := NewObserver(p, asOf, len(table.Histories))
	for i := 0; i < len(customers); i += 2 {
		o.Add(b, time.UTC, int64(i), customers[i])
	}
	o.Calibrate()
	for i := 1; i < len(customers); i += 2 {
		b.Histories(customers[i], now, func(_ int, h engine.PurchaseHistory) {
			at := customers[i][len(customers[i])-1].OrderedAt
			lost := at.Before(asOf.UTC())
			chance := p.NoPurchase(h, asOf)
			raw.add(chance, lost)
			calibrated.add(p.Calibration.Apply(chance, nil), lost)
			certainty(t, p, h, asOf)
		})
	}
	return p, raw.scores(), calibrated.scores()
}

// certainty fails where a one-time buyer is taken for certainly lost, or certainly not.
func certainty(t *testing.T, p *engine.Predictor, h engine.PurchaseHistory, asOf engine.Date) {
	t.Helper()
	if h.Purchases > 1 {
		return
	}
	d, reason := p.Predict([]engine.Purchase{{Day: h.FirstAt}}, asOf, nil)
	if d == nil || !(d.ChurnRisk > 0.001 && d.ChurnRisk < 0.999) || d.PAlive != nil && !(*d.PAlive > 0.001 && *d.PAlive < 0.999) {
		t.Fatalf("bought once on %s: %+v as of %s %s", h.FirstAt, d, asOf, reason)
	}
	if text := d.Explanation(); strings.Contains(text, " 0 %") || strings.Contains(text, "100 %") {
		t.Fatal(text)
	}
}

// On real shops the churn risk of customers who were not fitted on, in a time that was not known, is about right, and no one-time buyer
// is certain to be lost or to stay.
func TestFutureOfRealShops(t *testing.T) {
	t.Parallel()
	for file, most := range map[string]float64{
		"cdnow_sample.csv.gz": 0.03, "cdnow_full.csv.gz": 0.03,
		// Its last 90 days hold the Christmas season; dropout cannot be told in what was known before.
		"online_retail_2010_2011.csv.gz": 0.1,
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			if raced && file != "cdnow_sample.csv.gz" {
				t.Skip("the larger shops take too long under the race detector")
			}
			p, before, after := future(t, purchases(t, file))
			r := p.Calibrated
			t.Logf("past: %d outcomes of %d customers, %+v, fitted %+v %s; before %+v, after %+v", r.Outcomes, r.Customers, p.Calibration, r.Fitted, r.Reason, r.Before, r.After)
			t.Logf("future: before %+v, after %+v", before, after)
			if after.Error > most {
				t.Errorf("the calibration error is %.4f, want at most %g", after.Error, most)
			}
			if r.Before == nil || r.Reason == engine.CalibrationApplied && !(r.After.Brier < r.Before.Brier && r.After.Error <= r.Before.Error) {
				t.Errorf("before %+v, after %+v: %s", r.Before, r.After, r.Reason)
			}
		})
	}
}
