package cli

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/explain"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

type explainCommand struct {
	Store    string `required:"" placeholder:"KEY" help:"The store."`
	Customer string `required:"" placeholder:"ID" help:"The customer, as the store names it."`
	Axis     string `placeholder:"AXIS" help:"Only this axis, for example purchase_frequency; all unless set."`
	To       string `placeholder:"SEGMENT" help:"What would move the customer to this segment of the axis: its path, key or name."`
}

// explained is what explain prints.
type explained struct {
	Store        string          `json:"store"`
	Customer     string          `json:"customer"`
	ModelVersion int             `json:"model_version"`
	Date         engine.Date     `json:"date"`
	Purchases    *int            `json:"purchases"` // null where no features were stored
	Axes         []explainedAxis `json:"axes"`
	To           *explainedReach `json:"to"`
}

type explainedAxis struct {
	Key         string              `json:"key"`
	Name        string              `json:"name"`
	Status      engine.AxisStatus   `json:"status"`
	Reason      *string             `json:"reason"`
	Path        []namedSegment      `json:"path"` // from the root down
	Shape       *explain.Shape      `json:"shape"`
	Entropy     *float64            `json:"entropy"`
	Outlier     *bool               `json:"outlier"`
	Memberships []segmentMembership `json:"memberships"` // in the roots, largest first
	Reasons     []explainedStep     `json:"reasons"`     // one for each segment of the path
}

type namedSegment struct {
	Path string `json:"path"`
	Name string `json:"name"`
}

type segmentMembership struct {
	namedSegment
	Membership float64 `json:"membership"`
}

type explainedStep struct {
	Segment       namedSegment          `json:"segment"`
	Over          *namedSegment         `json:"over"`
	Missing       *explain.Missing      `json:"missing"`
	Total         *float64              `json:"total"`
	Contributions []featureContribution `json:"contributions"`
	Text          string                `json:"text"`
}

type featureContribution struct {
	Feature      string   `json:"feature"`
	Value        *float64 `json:"value"`
	Contribution float64  `json:"contribution"`
}

type explainedReach struct {
	Segment   namedSegment        `json:"segment"`
	Status    explain.ReachStatus `json:"status"`
	Reachable bool                `json:"reachable"`
	Changes   []featureChange     `json:"changes"`
	Text      string              `json:"text"`
}

type featureChange struct {
	Feature string  `json:"feature"`
	From    float64 `json:"from"`
	To      float64 `json:"to"`
	Text    string  `json:"text"`
}

// Run explains where a customer stands.
func (c *explainCommand) Run(a *app) (err error) {
	axes, err := c.axes()
	if err != nil {
		return err
	}
	o, err := a.officeWith(jobs.DefaultSettings())
	if err != nil {
		return err
	}
	defer closing(o, &err)
	state, model, err := c.read(a, o)
	if err != nil {
		return err
	}
	result := explained{Store: c.Store, Customer: c.Customer, ModelVersion: model.Version, Date: state.Date, Axes: []explainedAxis{}}
	if state.Features != nil {
		purchases := engine.PurchasesOf(state.Features)
		result.Purchases = &purchases
	}
	for _, axis := range axes {
		part, err := explainAxis(model, axis, state)
		if err != nil {
			return err
		}
		result.Axes = append(result.Axes, part)
	}
	if c.To != "" {
		if result.To, err = reach(model, axes[0], state, c.To); err != nil {
			return err
		}
	}
	return a.print(result, result.describe)
}

func (c *explainCommand) axes() ([]int, error) {
	if c.Axis == "" {
		if c.To != "" {
			return nil, engine.Errorf(engine.CodeInvalid, "--to needs --axis, since it names a segment of one axis")
		}
		axes := make([]int, engine.AxisCount)
		for i := range axes {
			axes[i] = i
		}
		return axes, nil
	}
	axis, ok := engine.AxisIndex(c.Axis)
	if !ok {
		var keys []string
		for i := range engine.Axes {
			keys = append(keys, engine.Axes[i].Key)
		}
		return nil, engine.Errorf(engine.CodeInvalid, "there is no axis %q; there are %s", c.Axis, strings.Join(keys, ", "))
	}
	return []int{axis}, nil
}

// read gives where the customer stands and under which model.
func (c *explainCommand) read(a *app, o *office) (*postgres.CustomerState, *engine.Model, error) {
	store, err := o.db.StoreByKey(a.ctx, c.Store)
	if err != nil {
		return nil, nil, err
	}
	customer, err := o.runner.FindCustomer(a.ctx, store, c.Customer)
	if err != nil {
		return nil, nil, err
	}
	ref := postgres.CustomerRef{StoreID: store.ID, CustomerID: customer.ID}
	states, err := o.db.CustomerStates(a.ctx, []postgres.CustomerRef{ref}, true)
	if err != nil {
		return nil, nil, err
	}
	state := states[ref]
	if state == nil {
		return nil, nil, engine.Errorf(engine.CodeInsufficientData, "customer %q stands nowhere yet: recluster the store first, or wait for a purchase", c.Customer)
	}
	model, err := o.db.Model(a.ctx, store.ID, state.ModelVersion)
	if err != nil {
		return nil, nil, err
	}
	return state, model.Model, nil
}

func named(model *engine.AxisModel, segment int) namedSegment {
	return namedSegment{model.Segments[segment].Path, model.Segments[segment].Name}
}

func explainAxis(m *engine.Model, axis int, state *postgres.CustomerState) (explainedAxis, error) {
	model := &m.Axes[axis]
	part := explainedAxis{
		Key: engine.Axes[axis].Key, Name: engine.Axes[axis].Name, Status: model.Status,
		Path: []namedSegment{}, Memberships: []segmentMembership{}, Reasons: []explainedStep{},
	}
	units := m.RootMemberships(axis, state.Thumbprint, nil)
	if reason := model.Reason; len(units) == 0 {
		if model.Status == engine.AxisOn {
			_, reason = engine.Axes[axis].Eligible(0)
			part.Status = engine.AxisNotEligible
		}
		text := reason.Text()
		part.Reason = &text
		return part, nil
	}
	shape, entropy := explain.ShapeOf(units), explain.Entropy(units)
	part.Shape, part.Entropy = &shape, &entropy
	for i, u := range units {
		part.Memberships = append(part.Memberships, segmentMembership{
			named(model, model.SegmentAt(engine.LevelRoots, i)), float64(u) / engine.MembershipUnit,
		})
	}
	slices.SortStableFunc(part.Memberships, func(x, y segmentMembership) int {
		switch {
		case x.Membership > y.Membership:
			return -1
		case x.Membership < y.Membership:
			return 1
		default:
			return 0
		}
	})
	explainer := explain.New(m, axis)
	if state.Features != nil {
		outlier := explainer.Outlier(state.Features)
		part.Outlier = &outlier
	}
	for _, segment := range m.Path(axis, state.Thumbprint) {
		part.Path = append(part.Path, named(model, segment))
		reasons := explain.Reasons{Segment: segment, Over: -1, Missing: explain.MissingFeatures}
		if state.Features != nil {
			var err error
			if reasons, err = explainer.Reasons(state.Features, segment, -1); err != nil {
				return part, err
			}
		}
		part.Reasons = append(part.Reasons, explainStep(axis, model, reasons))
	}
	return part, nil
}

func explainStep(axis int, model *engine.AxisModel, r explain.Reasons) explainedStep {
	step := explainedStep{Segment: named(model, r.Segment), Contributions: []featureContribution{}, Text: r.Text(&engine.Axes[axis], model)}
	if r.Missing != explain.MissingNothing {
		step.Missing = &r.Missing
		return step
	}
	over := named(model, r.Over)
	step.Over, step.Total = &over, &r.Total
	for _, c := range r.Contributions {
		contribution := featureContribution{Feature: engine.Axes[axis].Features[c.Feature].Key, Contribution: c.Amount}
		if !math.IsNaN(c.Value) {
			contribution.Value = &c.Value
		}
		step.Contributions = append(step.Contributions, contribution)
	}
	return step
}

// reach tells what would move the customer to the segment with this path, key or name.
func reach(m *engine.Model, axis int, state *postgres.CustomerState, to string) (*explainedReach, error) {
	model := &m.Axes[axis]
	segment := slices.IndexFunc(model.Segments, func(s engine.Segment) bool { return s.Path == to || s.Key == to || s.Name == to })
	switch {
	case segment < 0:
		return nil, engine.Errorf(engine.CodeNotFound, "the axis %s has no segment %q in model %d", engine.Axes[axis].Key, to, m.Version)
	case state.Features == nil:
		return nil, engine.Errorf(engine.CodeInsufficientData, "the customer's features were not stored: recluster the store, or take a snapshot with SNAPSHOT_STORE_FEATURES on")
	case len(m.RootMemberships(axis, state.Thumbprint, nil)) == 0:
		return nil, engine.Errorf(engine.CodeInsufficientData, "the customer has no memberships on the axis %s", engine.Axes[axis].Key)
	}
	r, err := explain.New(m, axis).Reach(state.Features, segment)
	if err != nil {
		return nil, err
	}
	result := &explainedReach{
		Segment: named(model, segment), Status: r.Status, Reachable: r.Status != explain.ReachNone,
		Changes: []featureChange{}, Text: r.Text(&engine.Axes[axis], model.Segments[segment].Name),
	}
	for _, move := range r.Moves {
		result.Changes = append(result.Changes, featureChange{engine.Axes[axis].Features[move.Feature].Key, move.From, move.To, move.Text(&engine.Axes[axis])})
	}
	return result, nil
}

func (e *explained) describe(w io.Writer) {
	purchases := ""
	if e.Purchases != nil {
		purchases = fmt.Sprintf(", %d purchases", *e.Purchases)
	}
	fmt.Fprintf(w, "%s, customer %s%s, on %s under model %d\n", e.Store, e.Customer, purchases, e.Date, e.ModelVersion)
	var without []string
	for _, axis := range e.Axes {
		if axis.Reason != nil {
			without = append(without, fmt.Sprintf("  %-22s %s\n", axis.Name, *axis.Reason))
			continue
		}
		fmt.Fprintf(w, "\n%s\n", axis.Name)
		var parts []string
		for _, m := range axis.Memberships {
			parts = append(parts, fmt.Sprintf("%s %.0f %%", m.Name, percentScale*m.Membership))
		}
		fmt.Fprintf(w, "  %s%s\n", strings.Join(parts, " · "), axis.remark())
		for _, step := range axis.Reasons {
			fmt.Fprintf(w, "  %s\n", step.Text)
		}
	}
	if e.To != nil {
		fmt.Fprintf(w, "\n%s\n", e.To.Text)
	}
	if len(without) > 0 {
		fmt.Fprintf(w, "\nNothing to tell\n%s", strings.Join(without, ""))
	}
}

// remark tells what is special about a customer on an axis.
func (a *explainedAxis) remark() string {
	var remarks []string
	switch *a.Shape {
	case explain.ShapeHybrid:
		remarks = append(remarks, "between two segments")
	case explain.ShapeDiffuse:
		remarks = append(remarks, "in no segment clearly")
	}
	if a.Outlier != nil && *a.Outlier {
		remarks = append(remarks, "far from all")
	}
	if len(remarks) == 0 {
		return ""
	}
	return " (" + strings.Join(remarks, ", ") + ")"
}
