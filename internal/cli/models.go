package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/btyd"
	"github.com/quimbi/quimbi/jobs"
)

type modelsCommand struct {
	predictionFlags
	Store   string  `required:"" placeholder:"KEY" help:"The store."`
	Until   string  `placeholder:"DATE" help:"Fit on the purchases up to and including this day; the store's now unless set."`
	Predict float64 `placeholder:"WEEKS" help:"Predict the purchases of so many weeks; --csv names the file."`
	CSV     string  `name:"csv" placeholder:"FILE" help:"Where the predictions are written, one row a customer."`
	Model   string  `default:"mbg_nbd" enum:"bg_nbd,mbg_nbd,pareto_nbd" placeholder:"NAME" help:"The purchase model to predict with: bg_nbd, mbg_nbd (unless set) or pareto_nbd."`
}

// modelResult is one model of what models prints; a model that could not be fitted has null for what it lacks.
type modelResult struct {
	Name           string              `json:"name"`
	Parameters     map[string]*float64 `json:"parameters"`
	StandardErrors map[string]*float64 `json:"standard_errors"`
	LogLikelihood  *float64            `json:"log_likelihood"`
	Customers      int                 `json:"customers"`
	Identifiable   bool                `json:"identifiable"`
	Correlation    *float64            `json:"correlation"`

	names  []string
	reason string
}

type modelsResult struct {
	Models      []modelResult     `json:"models"`
	Calibration calibrationResult `json:"calibration"`
}

// calibrationResult tells how the probabilities of mbg_nbd are calibrated; what is null was not fitted.
type calibrationResult struct {
	Applied     bool     `json:"applied"`
	Reason      *string  `json:"reason"`
	Intercept   float64  `json:"intercept"`
	Slope       float64  `json:"slope"`
	HorizonDays int      `json:"horizon_days"`
	Customers   int      `json:"customers"`
	Outcomes    int      `json:"outcomes"`
	Lost        int      `json:"lost"`
	BrierBefore *float64 `json:"brier_before"`
	BrierAfter  *float64 `json:"brier_after"`
	ECEBefore   *float64 `json:"ece_before"`
	ECEAfter    *float64 `json:"ece_after"`
}

func newCalibrationResult(p *engine.Predictor) calibrationResult {
	report := p.Calibrated
	r := calibrationResult{
		Applied: report.Reason == engine.CalibrationApplied, Intercept: p.Calibration.Intercept, Slope: p.Calibration.Slope,
		HorizonDays: p.Settings.HorizonDays, Customers: report.Customers, Outcomes: report.Outcomes, Lost: report.Lost,
	}
	if !r.Applied {
		reason := string(report.Reason)
		r.Reason = &reason
	}
	if report.Before != nil {
		r.BrierBefore, r.ECEBefore = &report.Before.Brier, &report.Before.Error
		r.BrierAfter, r.ECEAfter = &report.After.Brier, &report.After.Error
	}
	return r
}

func (r *calibrationResult) describe(w io.Writer) {
	fmt.Fprintf(w, "  calibration of mbg_nbd at %d days, %s outcomes of %s customers: ", r.HorizonDays, number(int64(r.Outcomes)), number(int64(r.Customers)))
	switch {
	case r.Applied:
		fmt.Fprintf(w, "intercept %.3f, slope %.3f", r.Intercept, r.Slope)
	default:
		fmt.Fprintf(w, "none (%s)", strings.ToLower(strings.ReplaceAll(*r.Reason, "_", " ")))
	}
	if r.BrierBefore != nil {
		fmt.Fprintf(w, "; by customers left out, Brier %.4f to %.4f, calibration error %.4f to %.4f", *r.BrierBefore, *r.BrierAfter, *r.ECEBefore, *r.ECEAfter)
	}
	fmt.Fprintln(w)
}

// Run fits the models.
func (c *modelsCommand) Run(a *app) (err error) {
	until, err := c.check()
	if err != nil {
		return err
	}
	o, err := a.officeWith(jobs.DefaultSettings())
	if err != nil {
		return err
	}
	defer closing(o, &err)
	store, err := o.db.StoreByKey(a.ctx, c.Store)
	if err != nil {
		return err
	}
	if until == nil {
		now, ok := store.Now(a.now())
		if !ok {
			return engine.Errorf(engine.CodeInsufficientData, "store %q has no orders; import some first", store.Key)
		}
		until = &now
	}
	histories, err := o.runner.Histories(a.ctx, store, *until)
	if err != nil {
		return err
	}
	fitted, err := fitModels(a.ctx, histories, *until)
	if err != nil {
		return err
	}
	calibrated := &engine.Predictor{Settings: c.prediction(), Purchases: fitted.mbg}
	if err := o.runner.Calibrate(a.ctx, store, calibrated, *until+1, len(histories)); err != nil {
		return err
	}
	if c.CSV != "" {
		keys, err := o.db.CustomerKeys(a.ctx, store.ID)
		if err != nil {
			return err
		}
		p := predictions{until: *until, weeks: c.Predict, ltv: c.prediction(), model: fitted.predictors[c.Model], spend: fitted.spend}
		if err := p.writeFile(c.CSV, histories, keys); err != nil {
			return err
		}
	}
	calibration := newCalibrationResult(calibrated)
	return a.print(modelsResult{fitted.models, calibration}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: purchases up to %s of %s customers; time in weeks, standard errors in brackets\n", store.Key, *until, number(int64(len(histories))))
		for i := range fitted.models {
			fitted.models[i].describe(w)
		}
		calibration.describe(w)
		if c.CSV != "" {
			fmt.Fprintf(w, "%s predictions of %g weeks by %s are in %s\n", number(int64(len(histories))), c.Predict, c.Model, c.CSV)
		}
	})
}

// maxPredictWeeks is far beyond what any shop plans for.
const maxPredictWeeks = 5200

func (c *modelsCommand) check() (until *engine.Date, err error) {
	settings := c.prediction()
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	if (c.Predict != 0) != (c.CSV != "") {
		return nil, engine.Errorf(engine.CodeInvalid, "--predict WEEKS and --csv FILE go together")
	}
	if c.CSV != "" && !(c.Predict > 0 && c.Predict <= maxPredictWeeks) {
		return nil, engine.Errorf(engine.CodeInvalid, "--predict must be over 0 and at most %d weeks, is %g", maxPredictWeeks, c.Predict)
	}
	return day(c.Until, "until")
}

// fittedModels are the fits of one store.
type fittedModels struct {
	models     []modelResult
	predictors map[string]predictor
	mbg        *btyd.Fit[btyd.MBGNBD]
	spend      *btyd.SpendFit // nil where it could not be fitted
}

// predictor is the model to predict with; without dropout where that is not identifiable.
type predictor struct {
	btyd.Model
	identifiable bool
}

// fitModels fits all models. Fault: INSUFFICIENT_DATA where there are too few customers for a purchase model.
func fitModels(ctx context.Context, histories []jobs.CustomerHistory, until engine.Date) (*fittedModels, error) {
	repeats, spends := make([]btyd.History, len(histories)), make([]btyd.Spend, len(histories))
	for i, h := range histories {
		repeats[i], spends[i] = h.Repeats(until), h.Spend()
	}
	groups, _ := btyd.GroupHistories(repeats) // none is rejected: days are in order
	f := &fittedModels{predictors: map[string]predictor{}}
	bg, err := btyd.FitBGNBD(ctx, groups, btyd.FitOptions{})
	if err == nil {
		addFit(f, bg)
		var mbg *btyd.Fit[btyd.MBGNBD]
		if mbg, err = btyd.FitMBGNBD(ctx, groups, btyd.FitOptions{}); err == nil {
			addFit(f, mbg)
			f.mbg = mbg
			var pareto *btyd.Fit[btyd.ParetoNBD]
			if pareto, err = btyd.FitParetoNBD(ctx, groups, btyd.FitOptions{}); err == nil {
				addFit(f, pareto)
			}
		}
	}
	if err != nil {
		return nil, unfit(err)
	}
	return f, f.addSpend(ctx, spends)
}

func unfit(err error) error {
	if errors.Is(err, btyd.ErrTooFew) || errors.Is(err, btyd.ErrNoOptimum) {
		return engine.Errorf(engine.CodeInsufficientData, "%s", err)
	}
	return err
}

func addFit[M btyd.Model](f *fittedModels, fit *btyd.Fit[M]) {
	r := modelResult{
		Name: fit.Name, LogLikelihood: &fit.LogLikelihood, Customers: fit.Customers, Identifiable: fit.Identifiable,
		names: fit.Model.ParameterNames(), reason: fit.Reason,
	}
	r.setParameters(fit.Model.Parameters(), fit.StandardErrors)
	f.models = append(f.models, r)
	f.predictors[fit.Name] = predictor{fit.Predictor(), fit.Identifiable}
}

// addSpend fits Gamma-Gamma. That it cannot be fitted takes nothing from the others.
func (f *fittedModels) addSpend(ctx context.Context, spends []btyd.Spend) error {
	r := modelResult{Name: btyd.GammaGamma{}.Name(), names: btyd.GammaGamma{}.ParameterNames()}
	fit, err := btyd.FitGammaGamma(ctx, spends, btyd.FitOptions{})
	switch {
	case errors.Is(err, btyd.ErrTooFew), errors.Is(err, btyd.ErrDegenerateSpend):
		r.reason = err.Error()
		r.setParameters(nil, nil)
	case err != nil:
		return err
	default:
		f.spend = fit
		r.LogLikelihood, r.Customers, r.Identifiable, r.Correlation, r.reason = &fit.LogLikelihood, fit.Customers, fit.Identifiable, &fit.Correlation, fit.Reason
		if !fit.Independent() {
			r.reason = strings.TrimPrefix(r.reason+"; ", "; ") + "frequency and value go together, which the model takes for independent"
		}
		r.setParameters(fit.Model.Parameters(), fit.StandardErrors)
	}
	f.models = append(f.models, r)
	return nil
}

// setParameters names values and their errors; what is missing becomes null.
func (r *modelResult) setParameters(values, standardErrors []float64) {
	r.Parameters, r.StandardErrors = map[string]*float64{}, map[string]*float64{}
	for i, name := range r.names {
		r.Parameters[name], r.StandardErrors[name] = at(values, i), at(standardErrors, i)
	}
}

func at(values []float64, i int) *float64 {
	if i >= len(values) {
		return nil
	}
	return &values[i]
}

func (r *modelResult) describe(w io.Writer) {
	fmt.Fprintf(w, "  %-12s", r.Name)
	for _, name := range r.names {
		if v := r.Parameters[name]; v != nil {
			fmt.Fprintf(w, "%s %.4g", name, *v)
			if e := r.StandardErrors[name]; e != nil {
				fmt.Fprintf(w, " (%.2g)", *e)
			}
			fmt.Fprint(w, "  ")
		}
	}
	if r.LogLikelihood != nil {
		fmt.Fprintf(w, "log-likelihood %.2f, %s customers", *r.LogLikelihood, number(int64(r.Customers)))
	}
	if r.Correlation != nil {
		fmt.Fprintf(w, ", correlation of frequency and value %.2f", *r.Correlation)
	}
	if r.reason != "" {
		fmt.Fprintf(w, "\n  %-12s%s", "", r.reason)
	}
	fmt.Fprintln(w)
}

// predictions are what --predict writes.
type predictions struct {
	until engine.Date
	weeks float64
	ltv   engine.PredictionSettings
	model predictor
	spend *btyd.SpendFit
}

var predictionColumns = []string{"customer_id", "x", "t_x", "T", "p_alive", "expected_purchases", "p0", "expected_value", "predicted_ltv"}

// writeFile writes a row a customer; a failure leaves no half of a file behind.
func (p *predictions) writeFile(path string, histories []jobs.CustomerHistory, keys map[int64]string) error {
	file, err := os.Create(path)
	if err != nil {
		return engine.Errorf(engine.CodeInvalid, "the predictions cannot be written to %s: name another file with --csv", path)
	}
	buffer := bufio.NewWriter(file)
	if err := errors.Join(p.write(buffer, histories, keys), buffer.Flush(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
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

// row leaves empty what is not known: P(alive) where dropout is not identifiable, values without a spend model.
func (p *predictions) row(key string, history engine.PurchaseHistory) []string {
	h := history.Repeats(p.until)
	alive, value, ltv := math.NaN(), math.NaN(), math.NaN()
	if p.model.identifiable {
		alive = p.model.PAlive(h)
	}
	if p.spend != nil {
		value = p.spend.ExpectedValue(history.Spend())
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
