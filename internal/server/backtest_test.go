package server_test

import (
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
	PrAuc, Brier                                   *float64
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
				Report string
			}
		}
	}
}

const askBacktest = `{ store(key: "cdnow") { latestRun(kind: BACKTEST) { id state ... on BacktestRun { result {
  horizonDays ruleDays weeks customers gaps churned checks seed rulePrecision baseRate brier calibrationErrorEverybody best
  detectors { detector cadence gaps churned alarms precision leadDays leadDaysLow leadDaysHigh earlyShare prAuc brier }
  calibration { predicted observed count } report } } } } }`

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
	a.data(t, &started, `mutation { backtest(input: {storeId: "cdnow", horizonDays: 180, seed: 4, idempotencyKey: "b"}) { run { id state result { weeks } } userErrors { code } } }`, nil)
	first := started.Backtest.Run.ID
	if first == "" || started.Backtest.Run.Result != nil || len(started.Backtest.UserErrors) > 0 {
		t.Fatalf("%+v", started)
	}
	a.followed(t, first)
	a.data(t, &started, `mutation { backtest(input: {storeId: "cdnow", horizonDays: 180, seed: 4, idempotencyKey: "b"}) { run { id state result { weeks } } userErrors { code } } }`, nil)
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
	if !strings.Contains(r.Report, "# How early churn was seen: cdnow") || strings.Count(r.Report, "data:image/svg+xml;base64,") != 3 {
		t.Errorf("the report is %.300s", r.Report)
	}
	for input, want := range map[string]string{
		`{storeId: "cdnow", horizonDays: 500}`: "INSUFFICIENT_DATA",
		`{storeId: "cdnow", ruleDays: 0}`:      "INVALID",
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
