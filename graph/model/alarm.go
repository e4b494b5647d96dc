package model

import (
	"context"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// Alarm is a sign that one customer's buying changed.
type Alarm struct {
	*engine.Alarm
	Customer *Customer
	Budget   *int      // the store's alarms a week; nil: all
	EndedAt  time.Time // zero while it stands
}

// IsNode marks an object with a global identifier.
func (*Alarm) IsNode() {}

// ID is the global identifier.
func (a *Alarm) ID() string {
	return ID{Kind: KindAlarm, Store: a.StoreID, Event: a.Alarm.ID}.String()
}

var alarmKinds = map[engine.AlarmKind]AlarmKind{
	engine.AlarmSilence: AlarmKindSilence, engine.AlarmCUSUM: AlarmKindCusum, engine.AlarmShiryaevRoberts: AlarmKindShiryaevRoberts,
}

// Kind is the detector.
func (a *Alarm) Kind() AlarmKind { return alarmKinds[a.Alarm.Kind] }

// DetectorOf gives the engine's name of a kind.
func DetectorOf(kind AlarmKind) engine.AlarmKind {
	for detector, name := range alarmKinds {
		if name == kind {
			return detector
		}
	}
	return 0
}

// Rank is nil while the run that raised the alarm is not over.
func (a *Alarm) Rank() *int {
	if a.Alarm.Rank == 0 {
		return nil
	}
	return &a.Alarm.Rank
}

// WithinBudget is nil without a rank.
func (a *Alarm) WithinBudget() *bool {
	if a.Alarm.Rank == 0 {
		return nil
	}
	within := a.Budget == nil || a.Alarm.Rank <= *a.Budget
	return &within
}

// EndedOn is the day of the purchase that ended it; nil while it stands.
func (a *Alarm) EndedOn() *engine.Date {
	if a.EndedAt.IsZero() {
		return nil
	}
	day := engine.DateOf(a.EndedAt, a.Customer.Store.Zone)
	return &day
}

// RatePerWeek is the customer's own.
func (a *Alarm) RatePerWeek() float64 { return a.Rate }

// OrderCount is that of the weeks that detectors look at.
func (a *Alarm) OrderCount() int { return a.Orders }

// AlarmEdge is an alarm in a page.
type AlarmEdge = Edge[*Alarm]

// AlarmConnection is a page of alarms.
type AlarmConnection struct {
	*Page[*Alarm]
	// Discovery works the expected share of false alarms out; it is called only where it is asked for.
	Discovery func(context.Context) (*float64, error)
}

// FalseDiscoveryRate is that of the whole list.
func (c *AlarmConnection) FalseDiscoveryRate(ctx context.Context) (*float64, error) {
	return c.Discovery(ctx)
}
