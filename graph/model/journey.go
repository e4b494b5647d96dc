package model

import (
	"math"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/journey"
)

// Journey shows how customers went from segment to segment of one axis.
type Journey struct {
	Axis        *Axis
	Status      engine.AxisStatus
	Reason      *engine.AxisReason
	HorizonDays int
	EveryNth    int
	Weighting   FlowWeighting
	Freshness   *Freshness

	journey *journey.Journey
	model   *engine.Model
	one     journey.Matrix
	chain   *journey.Chain
}

// NewJourney shows a journey under a model, nil before the first re-clustering; j is empty where the axis is not on.
func NewJourney(axis *Axis, m *engine.Model, j *journey.Journey, weighting FlowWeighting, everyNth int) *Journey {
	status, reason := axis.StatusUnder(m)
	one, two := j.Counts()
	return &Journey{
		Axis: axis, Status: status, Reason: reasonOrNull(reason), HorizonDays: ChurnHorizon(m), EveryNth: everyNth, Weighting: weighting,
		journey: j, model: m, one: one, chain: j.NewChain(one, two),
	}
}

// ChurnHorizon is the days without a purchase after which a model takes a customer for lost; m may be nil.
func ChurnHorizon(m *engine.Model) int {
	if m == nil || m.Predictor == nil {
		return engine.DefaultPredictionSettings().HorizonDays
	}
	return m.Predictor.Settings.HorizonDays
}

// Dates are those that it rests on.
func (v *Journey) Dates() []engine.Date { return append([]engine.Date{}, v.journey.Dates...) }

// ModelVersion is the model that places are given under.
func (v *Journey) ModelVersion() *int { return versionOf(v.model) }

func versionOf(m *engine.Model) *int {
	if m == nil {
		return nil
	}
	return &m.Version
}

// Customers is how many were followed.
func (v *Journey) Customers() int { return v.journey.Customers }

// States are where customers can be.
func (v *Journey) States() []*JourneyState {
	states := make([]*JourneyState, len(v.journey.States))
	stays := v.journey.Stays(v.one)
	for i, s := range v.journey.States {
		states[i] = &JourneyState{Kind: s.Kind, MeanDays: numberOrNull(stays[i] * v.journey.StepDays())}
		if s.Kind == journey.Segment {
			states[i].Segment = NewSegment(v.Axis.Store, v.model, v.Axis.Index, s.Segment)
		}
	}
	for _, w := range v.journey.Ways {
		states[w.At[0]].CustomersFirst += w.Customers
		states[w.At[len(w.At)-1]].CustomersLast += w.Customers
	}
	return states
}

// stateName is a segment's name, or the kind of another state.
func (v *Journey) stateName(state int) string {
	s := v.journey.States[state]
	if s.Kind != journey.Segment {
		return string(s.Kind)
	}
	return v.model.Axes[v.Axis.Index].Segments[s.Segment].Name
}

// Transitions are the moves of one step.
func (v *Journey) Transitions() *TransitionMatrix {
	m := &TransitionMatrix{StepDays: numberOrNull(v.journey.StepDays())}
	if len(v.journey.Dates) < 2 {
		m.StepDays = nil
	}
	if v.Weighting == FlowWeightingSoft {
		soft := v.journey.Soft()
		m.Flows, m.Probabilities = rows(soft), rows(journey.Shares(soft))
		return m
	}
	m.Flows, m.Probabilities = rows(v.one), rows(v.chain.P)
	m.hard = v.journey
	return m
}

func rows(m journey.Matrix) [][]float64 { return append([][]float64{}, m...) }

// TransitionMatrix is the moves between states in one step.
type TransitionMatrix struct {
	StepDays      *float64
	Flows         [][]float64
	Probabilities [][]float64

	hard *journey.Journey // nil for soft flows
}

// bootstrapSeed lets the same question have the same answer.
const bootstrapSeed = 1

// StandardErrors are those of hard probabilities.
func (m *TransitionMatrix) StandardErrors() [][]float64 {
	if m.hard == nil {
		return nil
	}
	return rows(m.hard.StandardErrors(bootstrapSeed))
}

// Markov compares two steps with one step twice.
func (v *Journey) Markov() *MarkovCheck {
	c := v.chain.Check
	return &MarkovCheck{Difference: numberOrNull(c.Difference), Holds: c.Holds(), G: c.G, DegreesOfFreedom: c.Degrees, PValue: numberOrNull(c.P)}
}

// maxSteps is the most steps of a forecast: a year of weeks.
const maxSteps = 52

// Forecast tells where several steps would lead. Fault: INVALID.
func (v *Journey) Forecast(steps int) (*JourneyForecast, error) {
	if steps < 1 || steps > maxSteps {
		return nil, engine.Errorf(engine.CodeInvalid, "steps must be from 1 to %d, is %d", maxSteps, steps)
	}
	p, refusal := v.chain.Forecast(steps)
	within, lapsedRefusal := v.chain.LapsedWithin(steps)
	f := &JourneyForecast{Refusal: textOrNull(string(refusal)), LapsedWithin: within, LapsedRefusal: textOrNull(string(lapsedRefusal))}
	if p != nil {
		f.Probabilities = rows(p)
	}
	return f, nil
}

// Outlook tells where it leads in the long run.
func (v *Journey) Outlook() *JourneyOutlook {
	steps, stepsRefusal := v.chain.StepsToLapsed()
	for i := range steps {
		steps[i] *= v.journey.StepDays()
	}
	shares, sharesRefusal := v.chain.Stationary()
	return &JourneyOutlook{
		DaysToLapsed: steps, DaysToLapsedRefusal: textOrNull(string(stepsRefusal)),
		Stationary: shares, StationaryRefusal: textOrNull(string(sharesRefusal)),
	}
}

// mostStages is the most stages of a path.
const mostStages = 12

// Paths gives the commonest paths. Fault: INVALID.
func (v *Journey) Paths(first, minStages, maxStages int, startsAt, endsIn *JourneyPlace) (*JourneyPaths, error) {
	switch {
	case first < 1 || first > 100:
		return nil, engine.Errorf(engine.CodeInvalid, "first must be from 1 to 100, is %d", first)
	case minStages < 1 || maxStages > mostStages || minStages > maxStages:
		return nil, engine.Errorf(engine.CodeInvalid, "minStages and maxStages must be from 1 to %d and in order, are %d and %d", mostStages, minStages, maxStages)
	}
	q := journey.PathQuery{MinStages: minStages, MaxStages: maxStages, Limit: first}
	var err error
	if q.Starts, err = v.statesAt(startsAt); err != nil {
		return nil, err
	}
	if q.Ends, err = v.statesAt(endsIn); err != nil {
		return nil, err
	}
	found, all := v.journey.Paths(q)
	paths := &JourneyPaths{Nodes: []*JourneyPath{}, TotalCount: all}
	for _, p := range found {
		names := make([]string, len(p.Stages))
		for i, state := range p.Stages {
			names[i] = v.stateName(state)
		}
		paths.Nodes = append(paths.Nodes, &JourneyPath{
			Stages: p.Stages, Names: names, MeanDays: p.MeanDays, Customers: p.Customers,
			Share: float64(p.Customers) / float64(v.journey.Customers), MeanChurnRisk: numberOrNull(p.MeanRisk), Cut: p.Cut,
		})
	}
	return paths, nil
}

// statesAt lists the states that are a place; nil for any. Faults: INVALID, NOT_FOUND.
func (v *Journey) statesAt(place *JourneyPlace) ([]int, error) {
	if place == nil {
		return nil, nil
	}
	if (place.SegmentID == nil) == (place.Kind == nil) {
		return nil, engine.Errorf(engine.CodeInvalid, "name a place either by segmentId or by kind")
	}
	states := []int{}
	from, end := 0, 0
	if place.SegmentID != nil && v.Status == engine.AxisOn {
		var err error
		if from, err = segmentIndex(*place.SegmentID, v.Axis, v.model); err != nil {
			return nil, err
		}
		end = v.model.Axes[v.Axis.Index].Subtree(from)
	}
	for i, s := range v.journey.States {
		if place.Kind != nil && s.Kind == *place.Kind || s.Kind == journey.Segment && s.Segment >= from && s.Segment < end {
			states = append(states, i)
		}
	}
	return states, nil
}

// Sankey draws the flows. Fault: INVALID.
func (v *Journey) Sankey(minShare float64) (*Sankey, error) {
	if !(minShare >= 0 && minShare <= 0.5) {
		return nil, engine.Errorf(engine.CodeInvalid, "minShare must be from 0 to 0.5, is %g", minShare)
	}
	drawn := v.journey.Sankey(v.Weighting == FlowWeightingSoft, minShare)
	s := &Sankey{Nodes: make([]*SankeyNode, len(drawn.Nodes)), Links: make([]*SankeyLink, len(drawn.Links))}
	for i, n := range drawn.Nodes {
		s.Nodes[i] = &SankeyNode{Date: v.journey.Dates[n.Date], Name: "OTHER", Value: n.Value}
		if n.State >= 0 {
			s.Nodes[i].State, s.Nodes[i].Name = &n.State, v.stateName(n.State)
		}
	}
	for i, l := range drawn.Links {
		s.Links[i] = &SankeyLink{Source: l.From, Target: l.To, Value: l.Value}
	}
	return s, nil
}

// CustomerJourney is one customer's way.
type CustomerJourney struct {
	Axis        *Axis
	Status      engine.AxisStatus
	Reason      *engine.AxisReason
	HorizonDays int
	Freshness   *Freshness

	model  *engine.Model
	stages []journey.Stage
}

// NewCustomerJourney shows the stages of a way under a model, nil before the first re-clustering.
func NewCustomerJourney(axis *Axis, m *engine.Model, stages []journey.Stage, fresh *Freshness) *CustomerJourney {
	status, reason := axis.StatusUnder(m)
	return &CustomerJourney{Axis: axis, Status: status, Reason: reasonOrNull(reason), HorizonDays: ChurnHorizon(m), Freshness: fresh, model: m, stages: stages}
}

// ModelVersion is the model that places are given under.
func (j *CustomerJourney) ModelVersion() *int { return versionOf(j.model) }

// Stages are the stays, oldest first.
func (j *CustomerJourney) Stages() []*JourneyStage {
	list := make([]*JourneyStage, len(j.stages))
	for i, s := range j.stages {
		list[i] = &JourneyStage{Kind: s.Kind, Snapshots: s.Snapshots}
		if s.Kind == journey.Segment {
			list[i].Segment = NewSegment(j.Axis.Store, j.model, j.Axis.Index, s.Segment)
		}
		if s.Kind != journey.New {
			days := int(s.Until - s.From)
			list[i].From, list[i].Days = &s.From, &days
		}
		if s.Over {
			list[i].To = &s.Until
		}
	}
	return list
}

// PopulationDrift shows how far a store's population moved.
type PopulationDrift struct {
	EveryNth int

	store *Store
	model *engine.Model
	means *journey.Means
}

// NewPopulationDrift shows means under a model, nil before the first re-clustering.
func NewPopulationDrift(store *Store, m *engine.Model, means *journey.Means, everyNth int) *PopulationDrift {
	return &PopulationDrift{EveryNth: everyNth, store: store, model: m, means: means}
}

// Dates are those with snapshots.
func (p *PopulationDrift) Dates() []engine.Date { return append([]engine.Date{}, p.means.Dates...) }

// ModelVersion is the model that memberships are given under.
func (p *PopulationDrift) ModelVersion() *int { return versionOf(p.model) }

// Customers is how many were counted on each date.
func (p *PopulationDrift) Customers() []int { return append([]int{}, p.means.Customers...) }

// Axes are all axes.
func (p *PopulationDrift) Axes() []*AxisPopulationDrift {
	list := make([]*AxisPopulationDrift, engine.AxisCount)
	for i := range list {
		list[i] = p.axis(i)
	}
	return list
}

func (p *PopulationDrift) axis(index int) *AxisPopulationDrift {
	a := &AxisPopulationDrift{
		Axis: &Axis{Store: p.store, Index: index}, Psi: []float64{}, PsiSinceFirst: []float64{}, Level: PopulationDriftLevelStable, Series: []*MembershipSeries{},
	}
	status, reason := a.Axis.StatusUnder(p.model)
	if a.Status, a.Reason = status, reasonOrNull(reason); status != engine.AxisOn {
		return a
	}
	a.Psi, a.PsiSinceFirst = p.means.Stability(index)
	if last := len(a.Psi) - 1; last >= 0 {
		a.Level = driftLevel(a.Psi[last], a.PsiSinceFirst[last])
	}
	for j, segment := range levelSegments(&p.model.Axes[index], engine.LevelRoots) {
		scores := make([]float64, len(p.means.Dates))
		for t, shares := range p.means.Axes[index] {
			scores[t] = math.NaN()
			if shares != nil {
				scores[t] = shares[j]
			}
		}
		a.Series = append(a.Series, &MembershipSeries{Segment: NewSegment(p.store, p.model, index, segment), Scores: scores})
	}
	return a
}

// driftLevel is what stability indices say; NaN says nothing.
func driftLevel(indices ...float64) PopulationDriftLevel {
	level := PopulationDriftLevelStable
	for _, psi := range indices {
		switch {
		case psi >= journey.PSIRefit:
			return PopulationDriftLevelRefitAdvised
		case psi >= journey.PSINotice:
			level = PopulationDriftLevelNotice
		}
	}
	return level
}
