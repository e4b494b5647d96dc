package model

import (
	"time"

	"github.com/quimbi/quimbi/engine"
)

// Store is a shop as the API shows it, seen at a moment.
type Store struct {
	engine.Store
	Clock time.Time
	// ModelVersion is the model in force, 0 before the first re-clustering; ModelAt is when it came into force.
	ModelVersion int
	ModelAt      time.Time
}

// IsNode marks an object with a global identifier.
func (*Store) IsNode() {}

// ID is the global identifier.
func (s *Store) ID() string { return ID{Kind: KindStore, Store: s.Store.ID}.String() }

// Currency is null where the orders do not say.
func (s *Store) Currency() *string { return textOrNull(s.Store.Currency) }

// SettingsOver are what can be set beside name, currency and time zone; what is not the store's own is the installation's.
func (s *Store) SettingsOver(installation engine.PredictionSettings) *StoreSettings {
	predicts := s.Predicts.Over(installation)
	return &StoreSettings{
		WeekStart: s.WeekStart, PurchaseStatuses: s.PurchaseStatuses, Scheduled: s.Scheduled, FalseAlarmRate: s.FalseAlarmRate, AlarmsPerWeek: s.AlarmsPerWeek,
		ChurnHorizonDays: predicts.HorizonDays, Margin: predicts.Margin, MonthlyDiscount: predicts.Discount,
	}
}

// TimeZone is the IANA name.
func (s *Store) TimeZone() string { return s.Zone.String() }

// Now is the day that "today" means for the store.
func (s *Store) Now() *engine.Date {
	if day, ok := s.Store.Now(s.Clock); ok {
		return &day
	}
	return nil
}

// Live tells whether the schedule serves the store.
func (s *Store) Live() bool { return s.Store.Live(s.Clock) }

// Axis is one dimension of a store's behaviour.
type Axis struct {
	Store *Store
	Index int // in the registry
}

// IsNode marks an object with a global identifier.
func (*Axis) IsNode() {}

// ID is the global identifier.
func (a *Axis) ID() string {
	return ID{Kind: KindAxis, Store: a.Store.Store.ID, Axis: a.Index}.String()
}

func (a *Axis) entry() *engine.Axis { return &engine.Axes[a.Index] }

// Key is stable.
func (a *Axis) Key() string { return a.entry().Key }

// Name is for people.
func (a *Axis) Name() string { return a.entry().Name }

// Description says what the axis tells.
func (a *Axis) Description() string { return a.entry().Description }

// Dimension is the group.
func (a *Axis) Dimension() engine.Dimension { return a.entry().Dimension }

// StatusUnder says whether the store has memberships on the axis under a model; m is nil before the first re-clustering.
func (a *Axis) StatusUnder(m *engine.Model) (engine.AxisStatus, engine.AxisReason) {
	if m != nil {
		return m.Axes[a.Index].Status, m.Axes[a.Index].Reason
	}
	if status, reason := a.entry().Availability(a.Store.Columns); status != engine.AxisOn {
		return status, reason
	}
	return engine.AxisNotFitted, engine.ReasonNoModel
}

// FeaturesUnder lists what the axis is clustered by; m is nil before the first re-clustering.
func (a *Axis) FeaturesUnder(m *engine.Model) []*AxisFeature {
	entry := a.entry()
	features := make([]*AxisFeature, len(entry.Features))
	for i := range entry.Features {
		f := &entry.Features[i]
		status := engine.FeatureOn
		switch {
		case m != nil && len(m.Axes[a.Index].Features) == len(entry.Features):
			status = m.Axes[a.Index].Features[i].Status
		case !a.Store.Columns.Has(f.Needs):
			status = engine.FeatureNoData
		}
		features[i] = &AxisFeature{Key: f.Key, Name: f.Name, Unit: textOrNull(f.Unit), Status: status, Actionable: f.Lever != engine.LeverNone}
	}
	return features
}

// SelectAxes gives the indices of the axes with these keys in the registry's order, of all where keys is nil. Fault:
// INVALID for a key that is none.
func SelectAxes(keys []string) ([]int, error) {
	var wanted [engine.AxisCount]bool
	for _, key := range keys {
		axis, ok := engine.AxisIndex(key)
		if !ok {
			return nil, engine.Errorf(engine.CodeInvalid, "there is no axis %q; Store.axes lists the keys", shortened(key))
		}
		wanted[axis] = true
	}
	axes := make([]int, 0, engine.AxisCount)
	for i := range engine.AxisCount {
		if keys == nil || wanted[i] {
			axes = append(axes, i)
		}
	}
	return axes, nil
}

// Model is one version of a store's segments.
type Model struct {
	*engine.Model
	Store     *Store
	RunID     string
	CreatedAt time.Time
}

// IsNode marks an object with a global identifier.
func (*Model) IsNode() {}

// ID is the global identifier.
func (m *Model) ID() string {
	return ID{Kind: KindModel, Store: m.Store.Store.ID, Version: m.Version}.String()
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func reasonOrNull(r engine.AxisReason) *engine.AxisReason {
	if r == engine.ReasonNone {
		return nil
	}
	return &r
}

// CustomerCount is the number of customers, with those who never bought.
func (s *Store) CustomerCount() int { return s.Customers }

// FirstOrderAt is the first order's time; zero without orders.
func (s *Store) FirstOrderAt() time.Time { return s.FirstAt }

// LastOrderAt is the last order's time; zero without orders.
func (s *Store) LastOrderAt() time.Time { return s.LastAt }
