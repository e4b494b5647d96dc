package cli

import (
	"github.com/alecthomas/kong"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/jobs"
)

// Settings are the variables of the installation, under the names of the environment.
type Settings struct {
	Fuzzy         bool    `name:"fuzzy" env:"ENABLE_FUZZY_CMEANS" default:"true" negatable:"" group:"Clustering" help:"Memberships in several segments; off: exactly one."`
	Fuzziness     float64 `env:"FCM_FUZZINESS" default:"2" group:"Clustering" help:"How soft memberships are, over 1.01."`
	MaxIterations int     `name:"max-iterations" env:"FCM_MAX_ITER" default:"150" group:"Clustering" help:"The most passes of one fit."`
	ChooseK       bool    `name:"choose-k" env:"ENABLE_DYNAMIC_K_RANGE" default:"true" negatable:"" group:"Clustering" help:"Choose the number of segments; off: 5 on every axis."`
	KMin          int     `name:"k-min" env:"DYNAMIC_K_MIN" default:"2" group:"Clustering" help:"The fewest segments to try."`
	KMax          int     `name:"k-max" env:"DYNAMIC_K_MAX" default:"10" group:"Clustering" help:"The most segments to try."`
	Hierarchical  bool    `env:"ENABLE_HIERARCHICAL_CLUSTERING" default:"true" negatable:"" group:"Clustering" help:"Divide segments that are wide or large."`
	Subdivision

	Snapshots     bool `env:"ENABLE_TEMPORAL_SNAPSHOTS" default:"true" negatable:"" group:"Snapshots" help:"Take snapshots."`
	StoreFeatures bool `env:"SNAPSHOT_STORE_FEATURES" default:"true" negatable:"" group:"Snapshots" help:"Keep the features with a snapshot, so that it can be scored again."`
	StoreML       bool `name:"store-ml" env:"SNAPSHOT_STORE_ML" default:"true" negatable:"" group:"Snapshots" help:"Keep churn risk and lifetime value with a snapshot."`
	KeepDaily     int  `env:"SNAPSHOT_DAILY_RETENTION" default:"7" group:"Snapshots" help:"Days that daily snapshots are kept."`
	KeepWeekly    int  `env:"SNAPSHOT_WEEKLY_RETENTION" default:"60" group:"Snapshots" help:"Days that weekly snapshots are kept."`
	KeepMonthly   int  `env:"SNAPSHOT_MONTHLY_RETENTION" default:"365" group:"Snapshots" help:"Days that monthly snapshots are kept."`
	KeepQuarterly int  `env:"SNAPSHOT_QUARTERLY_RETENTION" default:"730" group:"Snapshots" help:"Days that quarterly snapshots are kept."`
	KeepYearly    int  `env:"SNAPSHOT_YEARLY_RETENTION" default:"1826" group:"Snapshots" help:"Days that yearly snapshots are kept."`
	KeepRuns      int  `name:"keep-runs" env:"RUN_RETENTION" default:"400" group:"Snapshots" help:"Days that runs are kept after their end."`

	predictionFlags

	DriftThreshold   float64 `env:"DRIFT_THRESHOLD" default:"0.1" group:"Drift" help:"Drift from which there is an event."`
	AnomalyThreshold float64 `env:"DRIFT_ANOMALY_THRESHOLD" default:"0.5" group:"Drift" help:"Drift from which an event is an anomaly."`
	driftFlags
}

// driftFlags say what drift is measured on.
type driftFlags struct {
	DriftLevel string `env:"DRIFT_LEVEL" default:"roots" enum:"roots,leaves" group:"Drift" help:"Whether drift is measured on whole segments (roots) or on their subdivisions (leaves)."`
}

func (f *driftFlags) level() engine.Level {
	if f.DriftLevel == "leaves" {
		return engine.LevelLeaves
	}
	return engine.LevelRoots
}

// Subdivision says which segments are divided.
type Subdivision struct {
	MaxVariance   float64 `env:"HIERARCHICAL_MAX_VARIANCE" default:"2" group:"Clustering" help:"Variance from which a segment is divided."`
	MaxSegmentPct float64 `env:"HIERARCHICAL_MAX_SEGMENT_PCT" default:"60" group:"Clustering" help:"Per cent of all from which a segment is divided."`
	MinSize       int     `env:"HIERARCHICAL_MIN_SIZE" default:"100" group:"Clustering" help:"The fewest members of a segment that is divided."`
	MaxDepth      int     `env:"HIERARCHICAL_MAX_DEPTH" default:"3" group:"Clustering" help:"The most levels of division."`
}

// take puts the limits into the engine's settings.
func (s *Subdivision) take(p *engine.Params) {
	p.MaxVariance, p.MaxShare, p.MinSize, p.MaxDepth = s.MaxVariance, s.MaxSegmentPct/percentScale, s.MinSize, s.MaxDepth
}

// jobs gives the settings in the form in which the work takes them, checked.
func (s *Settings) jobs() (jobs.Settings, error) {
	settings := jobs.DefaultSettings()
	p := &settings.Params
	p.Fuzzy, p.Fuzziness, p.MaxIterations = s.Fuzzy, s.Fuzziness, s.MaxIterations
	p.ChooseK, p.KMin, p.KMax = s.ChooseK, s.KMin, s.KMax
	p.Hierarchical = s.Hierarchical
	s.take(p)
	settings.Snapshots, settings.StoreFeatures, settings.StoreScores = s.Snapshots, s.StoreFeatures, s.StoreML
	settings.Prediction = s.prediction()
	settings.Retention = map[engine.SnapshotType]int{
		engine.Daily: s.KeepDaily, engine.Weekly: s.KeepWeekly, engine.Monthly: s.KeepMonthly, engine.Quarterly: s.KeepQuarterly, engine.Yearly: s.KeepYearly,
	}
	settings.RunRetention = s.KeepRuns
	settings.DriftThreshold, settings.AnomalyThreshold, settings.DriftLevel = s.DriftThreshold, s.AnomalyThreshold, s.level()
	return settings, settings.Validate()
}

// predictionFlags say what of the future is predicted.
type predictionFlags struct {
	ChurnHorizon int     `name:"churn-horizon" env:"CHURN_HORIZON_DAYS" default:"90" group:"Predictions" help:"Days without an order that count as lost."`
	Margin       float64 `env:"LTV_MARGIN" default:"1" group:"Predictions" help:"The share of revenue that counts in lifetime value, up to 1."`
	Discount     float64 `name:"monthly-discount" env:"LTV_MONTHLY_DISCOUNT" default:"0.01" group:"Predictions" help:"The discount of future value, a month."`
}

// installationPrediction is what the environment says, for commands whose own flags go before the store's settings.
func installationPrediction() (engine.PredictionSettings, error) {
	var flags predictionFlags
	parser, err := kong.New(&flags)
	if err == nil {
		_, err = parser.Parse(nil)
	}
	if err != nil {
		return engine.PredictionSettings{}, engine.Errorf(engine.CodeInvalid, "the environment: %s", err)
	}
	return flags.prediction(), nil
}

func (f *predictionFlags) prediction() engine.PredictionSettings {
	return engine.PredictionSettings{HorizonDays: f.ChurnHorizon, Margin: f.Margin, Discount: f.Discount}
}
