package engine

import (
	"encoding/json"
	"math"

	"github.com/quimbi/quimbi/engine/kselect"
)

// Model is one immutable version of a store's segments on all axes: everything that scoring and explaining need.
// It is stored whole, as JSON.
type Model struct {
	Version   int     `json:"version"`
	AsOf      Date    `json:"asOf"` // fitted on what was ordered before this day
	Seed      uint64  `json:"seed"`
	Params    Params  `json:"params"`
	Columns   Columns `json:"columns"`
	Customers int     `json:"customers"`
	// Keys is how many segment keys this model and those before it have given out, so that none is used again.
	Keys int                  `json:"keys"`
	Axes [AxisCount]AxisModel `json:"axes"`
	// Repeat is the report on customers with several purchases; nil in models made before there was one.
	Repeat *PartReport `json:"repeat,omitempty"`
	// Predictor is nil in models made before there were predictions.
	Predictor *Predictor `json:"predictor,omitempty"`
	// Risk is what the segments' risk weights rest on; nil where they have none, as in models made before there were any.
	Risk *RiskBasis `json:"risk,omitempty"`
	// ModelDrift is what the model does by itself to customers who did nothing; nil in a first model, and in models made before it was told.
	ModelDrift *ModelDrift `json:"modelDrift,omitempty"`
}

// ModelDrift is the mean drift that a new model alone shows on unchanged customers, against the model before.
type ModelDrift struct {
	Before int `json:"before"` // the version of the model before
	// Overall is over the axes that can be compared; nil where those are fewer than half.
	Overall *float64 `json:"overall"`
	// Axes are nil where an axis is not on in both models, or their segments lie too far apart to be paired.
	Axes [AxisCount]*float64 `json:"axes"`
}

// RiskBasis is whose outcomes the risk weights of a model's segments were learned from.
type RiskBasis struct {
	// AsOf is the day at whose beginning the customers were looked at, by what was known then.
	AsOf        Date `json:"asOf"`
	HorizonDays int  `json:"horizonDays"`
	Customers   int  `json:"customers"`
	Lost        int  `json:"lost"` // of these, without a purchase in the horizon
}

// LostShare is the share of the lost; 0 without customers.
func (b *RiskBasis) LostShare() float64 {
	if b.Customers == 0 {
		return 0
	}
	return float64(b.Lost) / float64(b.Customers)
}

// AxisModel is the clustering of one axis. Unless Status is ON only Status, Reason and Eligible are set.
type AxisModel struct {
	Status   AxisStatus     `json:"status"`
	Reason   AxisReason     `json:"reason,omitempty"`
	Eligible int            `json:"eligible"` // customers
	Features []FeatureModel `json:"features"` // in the registry's order, all of the axis
	// Segments is the tree in depth-first order, roots largest first, children largest first.
	Segments []Segment `json:"segments"`
	// First is the position of the axis's first leaf in a thumbprint; Leaves is how many it has.
	First  int `json:"first"`
	Leaves int `json:"leaves"`
	// OutlierDistance is the 99th percentile, over the fitted customers, of the distance to the nearest centre, on
	// features before winsorising, in sd units.
	OutlierDistance float64 `json:"outlierDistance,omitempty"`
	// Before tells what became of the segments of the model before, by their index there; nil for a first model.
	Before []Genealogy `json:"before,omitempty"`
	Fit    *FitReport  `json:"fit,omitempty"` // nil where strata are all there is
}

// FeatureStatus says whether a model uses a feature.
type FeatureStatus string

// The statuses.
const (
	FeatureOn         FeatureStatus = "ON"
	FeatureNoData     FeatureStatus = "NO_DATA"    // the store's orders lack its columns, or it is undefined for more than half of the eligible customers
	FeatureConstant   FeatureStatus = "CONSTANT"   // the same for everyone
	FeatureCorrelated FeatureStatus = "CORRELATED" // correlation with an earlier feature over 0.95
)

// FeatureModel is how a model scales one feature: an undefined value becomes Fill, then it is winsorised to [Low, High]
// and standardised to (x - Mean)/SD.
type FeatureModel struct {
	Status FeatureStatus `json:"status"`
	Fill   float64       `json:"fill"`
	Low    float64       `json:"low"`
	High   float64       `json:"high"`
	Mean   float64       `json:"mean"`
	SD     float64       `json:"sd"`
	// Correlation is the largest in size with an earlier feature in use; over 0.7 is worth telling, over 0.95 drops the feature.
	Correlation float64 `json:"correlation,omitempty"`
	// Percentiles are the values at 0, 5, 10, ... 100 % of the eligible customers, for profiles and names.
	Percentiles []float64 `json:"percentiles,omitempty"`
}

// FeatureVector holds features as stored, NaN where undefined. In JSON, which has no NaN, that is null.
type FeatureVector []float32

// MarshalJSON writes an array of numbers and nulls.
func (v FeatureVector) MarshalJSON() ([]byte, error) {
	numbers := make([]*float32, len(v))
	for i := range v {
		if v[i] == v[i] {
			numbers[i] = &v[i]
		}
	}
	return json.Marshal(numbers)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *FeatureVector) UnmarshalJSON(text []byte) error {
	var numbers []*float32
	if err := json.Unmarshal(text, &numbers); err != nil {
		return err
	}
	*v = make(FeatureVector, len(numbers))
	for i, n := range numbers {
		(*v)[i] = float32(math.NaN())
		if n != nil {
			(*v)[i] = *n
		}
	}
	return nil
}

// Stratum is a group that a rule sets apart before clustering; empty for a segment that was clustered.
type Stratum string

// The strata, in the order in which they are looked for.
const (
	StratumNone          Stratum = ""
	StratumOnePurchase   Stratum = "ONE_PURCHASE"
	StratumNeverReturned Stratum = "NEVER_RETURNED"
	StratumIdentical     Stratum = "IDENTICAL"
	// StratumExceptional is found after clustering, in the report on repeat customers alone.
	StratumExceptional Stratum = "EXCEPTIONAL"
)

// Segment is a node of an axis's tree.
type Segment struct {
	Key    string `json:"key"`  // stays the same over versions while the segment survives
	Path   string `json:"path"` // its place in this version's tree, ordered by size, for example seg_0.0.2
	Name   string `json:"name"`
	ByHand bool   `json:"byHand,omitempty"` // whether a person gave the name
	// NamedFor are the qualifiers for which the name was made, which need not be those of the profile: a name stays until
	// one has changed clearly.
	NamedFor []NamedFor `json:"namedFor,omitempty"`
	Parent   int        `json:"parent"` // index in AxisModel.Segments; -1 at the top
	Children []int      `json:"children,omitempty"`
	Depth    int        `json:"depth"`
	Leaf     int        `json:"leaf"` // position among the axis's leaves; -1 for a segment with children
	Stratum  Stratum    `json:"stratum,omitempty"`
	// Identical is what a stratum of identical customers has in common, over the features that are on.
	Identical FeatureVector `json:"identical,omitempty"`
	Center    []float64     `json:"center"` // in sd units, over the features that are on; of a stratum: its members' mean
	// Members counts the eligible customers whose path (Model.Path) leads through the segment or, for a leaf, ends in it,
	// so the children's numbers sum to it and those of the roots to all. Share is Members over the eligible customers.
	Members   int      `json:"members"`
	Share     float64  `json:"share"`
	FuzzySize float64  `json:"fuzzySize"` // sum of the memberships
	Division  Division `json:"division"`
	Profile   Profile  `json:"profile"`
	// Origin is where the segment comes from; nil in a first model.
	Origin *Genealogy `json:"origin,omitempty"`
	// RiskWeight is the shrunken share of members, weighted by membership, without a purchase within the churn horizon; nil before outcomes are known.
	RiskWeight *float64 `json:"riskWeight,omitempty"`
}

// IsLeaf tells whether the segment has no subdivisions.
func (s *Segment) IsLeaf() bool { return s.Leaf >= 0 }

// Division is the decision whether a segment was subdivided, with the numbers it was made by (methods of hierarchical
// subdivision: variance, radius, share).
type Division struct {
	Divided       bool     `json:"divided"`
	Triggers      []string `json:"triggers,omitempty"`  // VARIANCE, DIAMETER, POPULATION_SHARE
	StoppedBy     string   `json:"stoppedBy,omitempty"` // SIZE, DEPTH, COHESIVE, NO_USEFUL_SPLIT; empty where divided, never divisible, or hierarchy is off
	Variance      float64  `json:"variance"`
	VarianceLimit float64  `json:"varianceLimit"`
	Radius        float64  `json:"radius"`
	RadiusLimit   float64  `json:"radiusLimit"`
	ShareLimit    float64  `json:"shareLimit"`
}

// Profile is what the members of a segment have in common.
type Profile struct {
	MinOrders        int     `json:"minOrders"`
	MedianOrders     float64 `json:"medianOrders"`
	MaxOrders        int     `json:"maxOrders"`
	OrdersPerMonth   float64 `json:"ordersPerMonth"` // mean, months of 30.44 days
	MedianValueCents int64   `json:"medianValueCents"`
	TotalValueCents  int64   `json:"totalValueCents"`
	TenureMonths     float64 `json:"tenureMonths"` // mean
	// MeanChurnRisk is that of the members on the model's day; nil where nothing was predicted, and in models made before it was kept.
	MeanChurnRisk *float64         `json:"meanChurnRisk,omitempty"`
	Features      []FeatureProfile `json:"features"` // most telling first
	Rule          *Rule            `json:"rule,omitempty"`
}

// NamedFor is the qualifier that a feature had when a segment was named.
type NamedFor struct {
	Feature   int    `json:"feature"` // index within the axis
	Qualifier string `json:"qualifier"`
}

// FeatureProfile is one feature of a segment against the axis's population.
type FeatureProfile struct {
	Feature    int     `json:"feature"` // index within the axis
	Center     float64 `json:"center"`  // in the feature's unit
	Z          float64 `json:"z"`
	Percentile float64 `json:"percentile"` // 0 to 100
	Qualifier  string  `json:"qualifier"`  // VERY_LOW, LOW, TYPICAL, HIGH, VERY_HIGH
}

// FitReport tells how the clustering of an axis went.
type FitReport struct {
	K                    int                 `json:"k"`
	Rule                 kselect.Rule        `json:"rule"`
	Candidates           []kselect.Candidate `json:"candidates"`
	Silhouette           float64             `json:"silhouette"`
	Balance              float64             `json:"balance"`
	PartitionCoefficient float64             `json:"partitionCoefficient"`
	Objective            float64             `json:"objective"`
	Iterations           int                 `json:"iterations"`
	Converged            bool                `json:"converged"`
}

// RiskChange is the risk weight of one segment of an axis less that of another; nil before outcomes are known.
func (m *Model) RiskChange(axis, from, to int) *float64 {
	segments := m.Axes[axis].Segments
	if min(from, to) < 0 || max(from, to) >= len(segments) || segments[from].RiskWeight == nil || segments[to].RiskWeight == nil {
		return nil
	}
	change := *segments[to].RiskWeight - *segments[from].RiskWeight
	return &change
}
