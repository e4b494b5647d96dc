package fit

import (
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/fcm"
)

// BenchmarkPassesOnCDNOW counts the passes over CDNOW's customers until no centre of an axis moves by 1e-5 standard
// deviations, with and without acceleration, from k customers as centres; and how far the objective that acceleration
// ends with is above the plain one (negative if below).
func BenchmarkPassesOnCDNOW(b *testing.B) {
	table := realTable(b, "cdnow", 0)
	for i := range engine.Axes {
		f := axisFit{axis: &engine.Axes[i], table: table, width: engine.FeatureCount, params: engine.DefaultParams()}
		if !f.standardised(b) {
			continue
		}
		n, d := f.rest, len(f.on)
		matrix, err := fcm.NewMatrix(b.Context(), f.z[:n*d], n, d, 0)
		if err != nil {
			b.Fatal(err)
		}
		for _, k := range []int{3, 5, 8} {
			opts := fcm.Options{MaxIterations: 5000}
			for j := range k {
				at := (2*j + 1) * n / (2 * k) * d
				opts.Init = append(opts.Init, f.z[at:at+d]...)
			}
			b.Run(engine.Axes[i].Key+",k="+string(rune('0'+k)), func(b *testing.B) {
				var passes, objective [2]float64
				for b.Loop() {
					for plain := range 2 {
						opts.Plain = plain == 1
						r, err := matrix.Fit(b.Context(), k, opts)
						if err != nil {
							b.Fatal(err)
						}
						passes[plain], objective[plain] = float64(r.Iterations), r.Objective
					}
				}
				b.ReportMetric(passes[0], "passes")
				b.ReportMetric(passes[1], "plain-passes")
				b.ReportMetric(passes[0]/passes[1], "ratio")
				b.ReportMetric(objective[0]/objective[1]-1, "objective-excess")
			})
		}
	}
}

// standardised does the part of a fit that comes before the choice of k; false where the axis is off.
func (f *axisFit) standardised(b *testing.B) bool {
	b.Helper()
	if status, _ := f.axis.Availability(f.table.Columns); status != engine.AxisOn {
		return false
	}
	f.model.Features = make([]engine.FeatureModel, len(f.axis.Features))
	for row, purchases := range f.table.Purchases {
		if ok, _ := f.axis.Eligible(int(purchases)); ok && purchases > 0 {
			f.eligible = append(f.eligible, int32(row))
		}
	}
	f.applyRule()
	if !f.openFeatures() {
		return false
	}
	if err := f.scale(); err != nil {
		b.Fatal(err)
	}
	return true
}
