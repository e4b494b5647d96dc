package cli

import (
	"encoding/csv"
	"io"
	"math"
	"strconv"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/btyd"
	"github.com/quimbi/quimbi/jobs"
)

// predictions are what --predict writes.
type predictions struct {
	until engine.Date
	weeks float64
	ltv   engine.PredictionSettings
	model predictor
	spend *btyd.SpendFit

	medians int // rows whose value is the store's median, once they are written
}

var predictionColumns = []string{"customer_id", "x", "t_x", "T", "p_alive", "expected_purchases", "p0", "expected_value", "predicted_ltv"}

// writeFile writes a row a customer; a failure leaves no half of a file behind.
func (p *predictions) writeFile(path string, histories []jobs.CustomerHistory, keys map[int64]string) error {
	return writeFile(path, "--csv", func(out io.Writer) error { return p.write(out, histories, keys) })
}

func (p *predictions) write(out io.Writer, histories []jobs.CustomerHistory, keys map[int64]string) error {
	w := csv.NewWriter(out)
	if err := w.Write(predictionColumns); err != nil {
		return err
	}
	for _, h := range histories {
		if err := w.Write(p.row(keys[h.CustomerID], h.PurchaseHistory)); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// row leaves empty what is not known: P(alive) where dropout is not identifiable, values without a spend model. P(alive) of a
// one-time buyer for whom the model claims certainty (bg_nbd for all of them) is not known either.
func (p *predictions) row(key string, history engine.PurchaseHistory) []string {
	h := history.Repeats(p.until)
	alive, value, ltv := math.NaN(), math.NaN(), math.NaN()
	if p.model.identifiable {
		alive = p.model.PAlive(h)
	}
	if h.X == 0 && (alive == 0 || alive == 1) {
		alive = math.NaN()
	}
	if p.spend != nil {
		var modelled bool
		if value, modelled = p.spend.ExpectedValue(history.Spend()); !modelled {
			p.medians++
		}
		ltv = btyd.LTV(p.model, h, value, p.ltv.LTVOptions())
	}
	return []string{
		key, strconv.Itoa(h.X), decimal(h.Tx), decimal(h.T), decimal(alive), decimal(p.model.Expected(h, p.weeks)), decimal(p.model.NoPurchase(h, p.weeks)),
		decimal(value), decimal(ltv),
	}
}

// decimal writes what is not known as nothing.
func decimal(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
