package engine

import "testing"

func TestStopReason(t *testing.T) {
	t.Parallel()
	one := []float64{0}
	for _, test := range []struct {
		want string
		axis AxisModel
	}{
		{"SIZE", AxisModel{Segments: []Segment{{Center: one, Division: Division{StoppedBy: "SIZE"}}}}},
		{"", AxisModel{Segments: []Segment{{Center: one, Children: []int{1, 2}}}}},
		{"NEVER_RETURNED", AxisModel{Segments: []Segment{{Center: one, Stratum: StratumNeverReturned}}}},
		{"IDENTICAL", AxisModel{Segments: []Segment{{Center: one, Stratum: StratumIdentical}}}},
		{"NO_STRUCTURE", AxisModel{Segments: []Segment{{Stratum: StratumOnePurchase}}}},
		{"NOT_CLUSTERED", AxisModel{Segments: []Segment{{Center: one}}}},
		{"HIERARCHY_OFF", AxisModel{Fit: &FitReport{}, Segments: []Segment{{Center: one}}}},
	} {
		if got := test.axis.StopReason(0); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
