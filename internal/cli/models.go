package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/btyd"
	"github.com/quimbi/quimbi/jobs"
)

type modelsCommand struct {
	ChurnHorizon    *int     `placeholder:"DAYS" group:"Predictions" help:"Days without an order that count as lost; as set for the store, else for the installation, as the next two."`
	Margin          *float64 `placeholder:"SHARE" group:"Predictions" help:"The share of revenue that counts in lifetime value, up to 1."`
	MonthlyDiscount *float64 `placeholder:"SHARE" group:"Predictions" help:"The discount of future value, a month."`

	Store       string  `required:"" placeholder:"KEY" help:"The store."`
	Until       string  `placeholder:"DATE" help:"Fit on the purchases up to and including this day; the store's now unless set."`
	Predict     float64 `placeholder:"WEEKS" help:"Predict the purchases of so many weeks; --csv names the file."`
	CSV         string  `name:"csv" placeholder:"FILE" help:"Where the predictions are written, one row a customer."`
	Model       string  `enum:",bg_nbd,mbg_nbd,pareto_nbd" default:"" placeholder:"NAME" help:"Fit this model of purchases alone and predict with it: bg_nbd, mbg_nbd or pareto_nbd. Unless set, all are fitted, and mbg_nbd predicts."`
	Calibration bool    `help:"Calibrate mbg_nbd on past days too, which reads the orders once more."`
}

// scoring is the model that scores come from, unless another is asked for.
var scoring = btyd.MBGNBD{}.Name()

// modelResult is one model of what models prints; a model that could not be fitted has null for what it lacks.
type modelResult struct {
	Name           string              `json:"name"`
	Parameters     map[string]*float64 `json:"parameters"`
	StandardErrors map[string]*float64 `json:"standard_errors"`
	LogLikelihood  *float64            `json:"log_likelihood"`
	Customers      int                 `json:"customers"`
	Identifiable   bool                `json:"identifiable"`
	Correlation    *float64            `json:"correlation"`

	names []string
	notes []string // for people: why it could not be fitted, or what to beware of
}

type modelsResult struct {
	Models      []modelResult      `json:"models"`
	Calibration *calibrationResult `json:"calibration,omitempty"` // only where it is asked for
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
	settings, err := c.settings(store)
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
	fitted, err := fitModels(a.ctx, histories, *until, c.Model)
	if err != nil {
		return err
	}
	result := modelsResult{Models: fitted.models}
	if c.Calibration {
		if result.Calibration, err = c.calibrate(a, o, store, settings, fitted, *until, len(histories)); err != nil {
			return err
		}
	}
	written := ""
	if c.CSV != "" {
		if written, err = c.predict(a, o, store, settings, fitted, *until, histories); err != nil {
			return err
		}
	}
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s: purchases up to %s of %s customers; time in weeks, standard errors in brackets\n", store.Key, *until, number(int64(len(histories))))
		for i := range result.Models {
			result.Models[i].describe(w)
		}
		if result.Calibration != nil {
			result.Calibration.describe(w)
		}
		fmt.Fprint(w, written)
	})
}

// calibrate reads the orders once more.
func (c *modelsCommand) calibrate(a *app, o *office, store *engine.Store, settings engine.PredictionSettings, fitted *fittedModels, until engine.Date, customers int) (*calibrationResult, error) {
	if fitted.mbg == nil {
		return nil, fitted.unfit(scoring)
	}
	p := &engine.Predictor{Settings: settings, Purchases: fitted.mbg}
	if err := o.runner.Calibrate(a.ctx, store, p, until+1, customers); err != nil {
		return nil, err
	}
	return newCalibrationResult(p), nil
}

// predict writes the file of predictions and says so.
func (c *modelsCommand) predict(a *app, o *office, store *engine.Store, settings engine.PredictionSettings, fitted *fittedModels, until engine.Date, histories []jobs.CustomerHistory) (string, error) {
	name := c.Model
	if name == "" {
		name = scoring
	}
	model, ok := fitted.predictors[name]
	if !ok {
		return "", fitted.unfit(name)
	}
	keys, err := o.db.CustomerKeys(a.ctx, store.ID)
	if err != nil {
		return "", err
	}
	p := predictions{until: until, weeks: c.Predict, ltv: settings, model: model, spend: fitted.spend}
	if err := p.writeFile(c.CSV, histories, keys); err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s predictions of %g weeks by %s are in %s\n", number(int64(len(histories))), c.Predict, name, c.CSV)
	if p.medians > 0 {
		text += fmt.Sprintf("  of %s the store's median stands in for the expected value, since the model of spend has none\n", number(int64(p.medians)))
	}
	return text, nil
}

// settings are the command's own before the store's, and those before the installation's.
func (c *modelsCommand) settings(store *engine.Store) (engine.PredictionSettings, error) {
	installation, err := installationPrediction()
	if err != nil {
		return installation, err
	}
	told := engine.PredictionOverrides{HorizonDays: c.ChurnHorizon, Margin: c.Margin, Discount: c.MonthlyDiscount}
	settings := told.Over(store.Predicts.Over(installation))
	return settings, settings.Validate()
}

// maxPredictWeeks is far beyond what any shop plans for.
const maxPredictWeeks = 5200

func (c *modelsCommand) check() (until *engine.Date, err error) {
	if (c.Predict != 0) != (c.CSV != "") {
		return nil, engine.Errorf(engine.CodeInvalid, "--predict WEEKS and --csv FILE go together")
	}
	if c.CSV != "" && !(c.Predict > 0 && c.Predict <= maxPredictWeeks) {
		return nil, engine.Errorf(engine.CodeInvalid, "--predict must be over 0 and at most %d weeks, is %g", maxPredictWeeks, c.Predict)
	}
	if c.Calibration && c.Model != "" && c.Model != scoring {
		return nil, engine.Errorf(engine.CodeInvalid, "--calibration is of %s, not of %s: leave one of them out", scoring, c.Model)
	}
	return day(c.Until, "until")
}

// fittedModels are the fits of one store.
type fittedModels struct {
	models     []modelResult
	predictors map[string]predictor
	mbg        *btyd.Fit[btyd.MBGNBD] // nil where it was not asked for or could not be fitted
	spend      *btyd.SpendFit         // nil where it could not be fitted
	causes     map[string]error       // of those that could not be fitted
}

// predictor is the model to predict with; without dropout where that is not visible.
type predictor struct {
	btyd.Model
	identifiable bool
}

// fitModels fits all models, or the one of purchases that only names and that of spend, each for itself: one that cannot be
// fitted takes nothing from the others. Fault: INSUFFICIENT_DATA where none can be.
func fitModels(ctx context.Context, histories []jobs.CustomerHistory, until engine.Date, only string) (*fittedModels, error) {
	repeats, spends := make([]btyd.History, len(histories)), make([]btyd.Spend, len(histories))
	for i, h := range histories {
		repeats[i], spends[i] = h.Repeats(until), h.Spend()
	}
	groups, _ := btyd.GroupHistories(repeats) // none is rejected: days are in order
	f := &fittedModels{predictors: map[string]predictor{}, causes: map[string]error{}}
	asked := func(m btyd.Model) bool { return only == "" || only == m.Name() }
	var err error
	if asked(btyd.BGNBD{}) {
		if _, err = addFit(ctx, f, groups, btyd.FitBGNBD); err != nil {
			return nil, err
		}
	}
	if asked(btyd.MBGNBD{}) {
		if f.mbg, err = addFit(ctx, f, groups, btyd.FitMBGNBD); err != nil {
			return nil, err
		}
	}
	if asked(btyd.ParetoNBD{}) {
		if _, err = addFit(ctx, f, groups, btyd.FitParetoNBD); err != nil {
			return nil, err
		}
	}
	if err := f.addSpend(ctx, spends); err != nil {
		return nil, err
	}
	if len(f.causes) == len(f.models) {
		return nil, f.unfit(f.models[0].Name)
	}
	return f, nil
}

// unfit is the fault of a model that could not be fitted.
func (f *fittedModels) unfit(name string) error {
	return engine.Errorf(engine.CodeInsufficientData, "%s could not be fitted: %s", name, f.causes[name])
}

// unfittable tells the faults of the data from others.
func unfittable(err error) bool {
	return errors.Is(err, btyd.ErrTooFew) || errors.Is(err, btyd.ErrNoOptimum) || errors.Is(err, btyd.ErrDegenerateSpend)
}

// addFit adds a model of purchases; the fit is nil where the data do not allow one.
func addFit[M btyd.Model](
	ctx context.Context, f *fittedModels, groups []btyd.Group,
	fitting func(context.Context, []btyd.Group, btyd.FitOptions) (*btyd.Fit[M], error),
) (*btyd.Fit[M], error) {
	var m M
	r := modelResult{Name: m.Name(), names: m.ParameterNames()}
	fit, err := fitting(ctx, groups, btyd.FitOptions{})
	switch {
	case unfittable(err):
		f.addUnfit(r, err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	r.LogLikelihood, r.Customers, r.Identifiable = &fit.LogLikelihood, fit.Customers, fit.Identifiable
	r.note(fit.Reason)
	r.note(fit.Warning())
	r.setParameters(fit.Model.Parameters(), fit.StandardErrors)
	f.models = append(f.models, r)
	f.predictors[r.Name] = predictor{fit.Predictor(), fit.Identifiable}
	return fit, nil
}

// addSpend fits Gamma-Gamma.
func (f *fittedModels) addSpend(ctx context.Context, spends []btyd.Spend) error {
	r := modelResult{Name: btyd.GammaGamma{}.Name(), names: btyd.GammaGamma{}.ParameterNames()}
	fit, err := btyd.FitGammaGamma(ctx, spends, btyd.FitOptions{})
	switch {
	case unfittable(err):
		f.addUnfit(r, err)
		return nil
	case err != nil:
		return err
	}
	f.spend = fit
	r.LogLikelihood, r.Customers, r.Identifiable, r.Correlation = &fit.LogLikelihood, fit.Customers, fit.Identifiable, &fit.Correlation
	r.note(fit.Reason)
	r.note(fit.Warning())
	r.setParameters(fit.Model.Parameters(), fit.StandardErrors)
	f.models = append(f.models, r)
	return nil
}

// addUnfit adds a model with nothing but its name and, for people, the cause.
func (f *fittedModels) addUnfit(r modelResult, cause error) {
	f.causes[r.Name] = cause
	r.note("not fitted: " + cause.Error())
	r.setParameters(nil, nil)
	f.models = append(f.models, r)
}

func (r *modelResult) note(text string) {
	if text != "" {
		r.notes = append(r.notes, text)
	}
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
	var line strings.Builder
	for _, name := range r.names {
		if v := r.Parameters[name]; v != nil {
			fmt.Fprintf(&line, "%s %.4g", name, *v)
			if e := r.StandardErrors[name]; e != nil {
				fmt.Fprintf(&line, " (%.2g)", *e)
			}
			line.WriteString("  ")
		}
	}
	if r.LogLikelihood != nil {
		fmt.Fprintf(&line, "log-likelihood %.2f, %s customers", *r.LogLikelihood, number(int64(r.Customers)))
	}
	if r.Correlation != nil {
		fmt.Fprintf(&line, ", correlation of frequency and value %.2f", *r.Correlation)
	}
	name := r.Name
	for _, text := range append([]string{line.String()}, r.notes...) {
		if text != "" {
			fmt.Fprintf(w, "  %-12s%s\n", name, text)
			name = ""
		}
	}
}
