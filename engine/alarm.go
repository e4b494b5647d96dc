package engine

import (
	"fmt"
	"math"

	"github.com/quimbi/quimbi/engine/btyd"
)

// AlarmKind is the detector that raised an alarm. The numbers are those of the database.
type AlarmKind int16

// The kinds.
const (
	AlarmSilence         AlarmKind = iota + 1 // a gap that an active customer would hardly leave
	AlarmCUSUM                                // a cumulative sum of too few purchases (Page 1954)
	AlarmShiryaevRoberts                      // the Shiryaev-Roberts statistic of too few purchases
)

// AlarmKinds lists them.
var AlarmKinds = []AlarmKind{AlarmSilence, AlarmCUSUM, AlarmShiryaevRoberts}

// AlarmsOff says why no detector looks at a customer.
type AlarmsOff string

// The reasons.
const (
	AlarmsOn       AlarmsOff = ""
	AlarmsTooSlow  AlarmsOff = "TOO_SLOW"  // the own rate is under one purchase in ten weeks
	AlarmsTooYoung AlarmsOff = "TOO_YOUNG" // known for eight weeks or less, or by one purchase
)

// DefaultFalseAlarmRate is the share of unchanged customers that each detector may report in a year.
const DefaultFalseAlarmRate = 0.2

// AlarmWeeks is how far back the detectors of too few purchases look; what was before is taken for the customer's own rate.
const AlarmWeeks = 26

// Alarm is a sign that one customer's buying changed, with the numbers that decided.
type Alarm struct {
	ID           int64
	StoreID      int32
	CustomerID   int64
	Kind         AlarmKind
	Date         Date // at whose beginning it was raised
	ModelVersion int
	// Value went beyond Threshold: of SILENCE the chance of such a gap, which is small, of the others a statistic, which is large.
	Value, Threshold float64
	Rate             float64 // the customer's own, in purchases a week
	Orders           int     // purchases in the last 26 weeks
	DaysSilent       int
	// PValue is the share of unchanged customers that show as much within a year.
	PValue float64
	Rank   int // of the customer among those with alarms on the date, 1 for the most certain; 0 while the run that raised it is not over
}

// Explanation says the alarm in words.
func (a *Alarm) Explanation() string {
	if a.Kind == AlarmSilence {
		return fmt.Sprintf("Usually %s between orders, silent for %d: such a gap happens to %s of active customers like this.",
			days(math.Round(btyd.DaysPerWeek/a.Rate)), a.DaysSilent, percent(a.Value))
	}
	orders := fmt.Sprintf("%d orders", a.Orders)
	if a.Orders == 1 {
		orders = "1 order"
	}
	return fmt.Sprintf("%s in the last %d weeks, where the customer's own rate makes %.1f: %s of unchanged customers show as much within a year.",
		orders, AlarmWeeks, a.Rate*AlarmWeeks, percent(a.PValue))
}

// AlarmBasis is what thresholds of alarms come from: simulated customers of a model who do not change.
type AlarmBasis struct {
	// Watched is how many real customers the simulated ones were made after.
	Watched int `json:"watched"`
	// Silence, CUSUM and ShiryaevRoberts hold the thresholds with which 1/n, 2/n ... of the simulated customers get an alarm within a year, n
	// being their length. Silence is missing in models made before it was simulated.
	Silence         []float64 `json:"silence,omitempty"`
	CUSUM           []float64 `json:"cusum"`
	ShiryaevRoberts []float64 `json:"shiryaevRoberts"`
}
