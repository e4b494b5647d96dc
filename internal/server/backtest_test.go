package server_test

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// foundDetector is what is asked of a detector.
type foundDetector struct {
	Detector, Cadence                              string
	Gaps, Churned, Alarms                          int
	Precision, LeadDays, LeadDaysLow, LeadDaysHigh *float64
	EarlyShare                                     float64
	OwnThreshold                                   bool
	Threshold                                      *float64
	PrAuc, Brier                                   *float64
}

// foundReliability is what is asked of probabilities.
type foundReliability struct {
	Brier, BaseBrier, CalibrationError, BaseRate float64
	Count                                        int
	Bins                                         []struct{ Count int }
}

// foundBacktest is what is asked of a backtest.
type foundBacktest struct {
	Store struct {
		LatestRun struct {
			ID, State string
			Result    struct {
				HorizonDays, RuleDays, Weeks, Customers, Gaps, Churned, Checks int
				Seed                                                           string
				RulePrecision, BaseRate                                        float64
				Brier, CalibrationErrorEverybody                               *float64
				Best                                                           *string
				Detectors                                                      []foundDetector
				Calibration                                                    []struct {
					Predicted, Observed float64
					Count               int
				}
				Curves []struct {
					Detector          string
					Recall, Precision []float64
				}
				Additions []struct {
					Feature                                          string
					BrierWithout, BrierWith, Gain, GainLow, GainHigh float64
					Kept                                             bool
				}
				CustomersFitted, CustomersThreshold                   int
				Reliability, ReliabilityEverybody, ReliabilityProduct *foundReliability
				Splits                                                []struct {
					Seed                    string
					RulePrecision           float64
					CalibrationErrorProduct *float64
					Detectors               []struct {
						Detector        string
						LeadDays, Brier *float64
					}
				}
				Spreads []struct {
					Detector        string
					LeadDays, Brier *struct {
						Count             int
						Mean, Least, Most float64
					}
				}
				Report string
			}
		}
	}
}

const askBacktest = `{ store(key: "cdnow") { latestRun(kind: BACKTEST) { id state ... on BacktestRun { result {
  horizonDays ruleDays weeks customers gaps churned checks seed rulePrecision baseRate brier calibrationErrorEverybody best
  detectors { detector cadence gaps churned alarms precision leadDays leadDaysLow leadDaysHigh earlyShare prAuc brier ownThreshold threshold }
  curves { detector recall precision } additions { feature brierWithout brierWith gain gainLow gainHigh kept }
  customersFitted customersThreshold reliability { ...R } reliabilityEverybody { ...R } reliabilityProduct { ...R }
  splits { seed rulePrecision calibrationErrorProduct detectors { detector leadDays brier } }
  spreads { detector leadDays { count mean least most } brier { count mean least most } }
  calibration { predicted observed count } report } } } } }
fragment R on Reliability { brier baseBrier calibrationError baseRate count bins { count } }`

// testBacktest starts a backtest by the API, follows it and reads all it found.
func (a *api) testBacktest(t *testing.T) {
	var started struct {
		Backtest struct {
			Run struct {
				ID, State string
				Result    *struct{ Weeks int }
			}
			UserErrors []struct{ Code string }
		}
	}
	a.data(t, &started, `mutation { backtest(input: {storeId: "cdnow", horizonDays: 180, seed: 4, splits: 2, idempotencyKey: "b"}) { run { id state result { weeks } } userErrors { code } } }`, nil)
	first := started.Backtest.Run.ID
	if first == "" || started.Backtest.Run.Result != nil || len(started.Backtest.UserErrors) > 0 {
		t.Fatalf("%+v", started)
	}
	a.followed(t, first)
	a.data(t, &started, `mutation { backtest(input: {storeId: "cdnow", horizonDays: 180, seed: 4, splits: 2, idempotencyKey: "b"}) { run { id state result { weeks } } userErrors { code } } }`, nil)
	if started.Backtest.Run.ID != first || started.Backtest.Run.Result == nil {
		t.Errorf("the same key gave %+v", started)
	}
	var got foundBacktest
	a.data(t, &got, askBacktest, nil)
	r := got.Store.LatestRun.Result
	if got.Store.LatestRun.ID != first || r.HorizonDays != 180 || r.RuleDays != 90 || r.Seed != "4" || r.Weeks != 26 || r.Checks == 0 || r.Gaps <= r.Churned || r.Churned == 0 {
		t.Errorf("%+v", got.Store.LatestRun)
	}
	if r.Brier == nil || *r.Brier > 0.3 || r.CalibrationErrorEverybody == nil || len(r.Calibration) == 0 || len(r.Detectors)%4 != 0 || len(r.Detectors) < 20 {
		t.Errorf("%+v", r)
	}
	i := slices.IndexFunc(r.Detectors, func(d foundDetector) bool {
		return d.Detector == "days_silent" && d.Cadence == "ALL"
	})
	if rule := r.Detectors[i]; rule.LeadDays == nil || *rule.LeadDays != 0 || rule.Alarms == 0 || rule.Brier != nil || rule.Gaps != r.Gaps {
		t.Errorf("the rule: %+v", rule)
	}
	a.testBacktestParts(t, &got)
	if !strings.Contains(r.Report, "# How early churn was seen: cdnow") || strings.Count(r.Report, "data:image/svg+xml;base64,") != 3 {
		t.Errorf("the report is %.300s", r.Report)
	}
	for input, want := range map[string]string{
		`{storeId: "cdnow", horizonDays: 500}`: "INSUFFICIENT_DATA",
		`{storeId: "cdnow", ruleDays: 0}`:      "INVALID",
		`{storeId: "cdnow", splits: 0}`:        "INVALID",
		`{storeId: "cdnow", splits: 101}`:      "INVALID",
		`{storeId: "nobody"}`:                  "NOT_FOUND",
	} {
		var refused struct {
			Backtest struct {
				Run        *struct{ ID string }
				UserErrors []struct{ Code, Message string }
			}
		}
		a.data(t, &refused, `mutation { backtest(input: `+input+`) { run { id } userErrors { code message } } }`, nil)
		if refused.Backtest.Run != nil || len(refused.Backtest.UserErrors) != 1 || refused.Backtest.UserErrors[0].Code != want {
			t.Errorf("%s: %+v, want %s", input, refused.Backtest, want)
		}
	}
}

// testBacktestParts looks at what a result has beside the detectors.
func (a *api) testBacktestParts(t *testing.T, got *foundBacktest) {
	t.Helper()
	r := &got.Store.LatestRun.Result
	if r.Customers+r.CustomersFitted+r.CustomersThreshold != sampleCustomers {
		t.Errorf("thirds of %d, %d and %d", r.CustomersFitted, r.CustomersThreshold, r.Customers)
	}
	names := map[string]bool{}
	for _, d := range r.Detectors {
		names[d.Detector] = true
		if alarm := strings.HasPrefix(d.Detector, "alarm_"); d.OwnThreshold != alarm || alarm && (d.Threshold != nil || d.PrAuc != nil) {
			t.Errorf("%+v", d)
		}
	}
	if len(r.Curves) != len(names)-4 { // all but the product's alarms
		t.Errorf("%d curves of %d detectors", len(r.Curves), len(names))
	}
	for _, c := range r.Curves {
		if len(c.Recall) < 2 || len(c.Recall) != len(c.Precision) || !slices.IsSorted(c.Recall) || c.Recall[len(c.Recall)-1] != 1 {
			t.Errorf("the curve %+v", c)
		}
	}
	for _, f := range r.Additions {
		if f.Kept != (f.GainLow > 0) || f.GainLow > f.Gain || f.Gain > f.GainHigh || math.Abs(f.BrierWithout-f.BrierWith-f.Gain) > 1e-9 {
			t.Errorf("%+v", f)
		}
	}
	if len(r.Additions) != 4 || r.Additions[0].Feature != "level" {
		t.Errorf("additions %+v", r.Additions)
	}
	for name, c := range map[string]*foundReliability{"three purchases": r.Reliability, "everybody": r.ReliabilityEverybody, "the product": r.ReliabilityProduct} {
		if c == nil || c.Brier >= c.BaseBrier || math.Abs(c.BaseRate*(1-c.BaseRate)-c.BaseBrier) > 1e-9 || c.CalibrationError <= 0 || c.CalibrationError > 0.1 {
			t.Fatalf("%s: %+v", name, c)
		}
		count := 0
		for _, b := range c.Bins {
			count += b.Count
		}
		if count != c.Count {
			t.Errorf("%s: %d in the bins of %d", name, count, c.Count)
		}
	}
	if *r.Brier != r.Reliability.Brier || *r.CalibrationErrorEverybody != r.ReliabilityEverybody.CalibrationError || len(r.Calibration) != len(r.Reliability.Bins) {
		t.Errorf("%v and %v beside %+v and %+v", *r.Brier, *r.CalibrationErrorEverybody, r.Reliability, r.ReliabilityEverybody)
	}
	if len(r.Splits) != 2 || r.Splits[0].Seed != "4" || r.Splits[1].Seed != "5" || r.Splits[0].RulePrecision != r.RulePrecision || *r.Splits[0].CalibrationErrorProduct != r.ReliabilityProduct.CalibrationError || len(r.Splits[0].Detectors) != len(names) {
		t.Errorf("divisions %+v", r.Splits)
	}
	if len(r.Spreads) != len(names) || r.Spreads[0].Detector != "days_silent" || r.Spreads[0].Brier != nil || r.Spreads[0].LeadDays == nil || r.Spreads[0].LeadDays.Count != 2 || r.Spreads[0].LeadDays.Most != 0 {
		t.Errorf("spreads %+v", r.Spreads)
	}
}
