package journey

import "github.com/quimbi/quimbi/engine"

// Stage is a stay of one customer in one state.
type Stage struct {
	State
	// From is the date of the first snapshot in the state, Until that of the first one after it, the last snapshot's date while the stay
	// lasts. A customer is NEW until its first snapshot, from a day that is not known.
	From, Until engine.Date
	Over        bool
	Snapshots   int
}

// Stages are one customer's own way, from snapshots that come oldest first: stays in equal states run together. Those of another
// model without features are left out. A way begins with NEW where the first purchase is on begin or later.
func Stages(m *engine.Model, axis int, level engine.Level, horizon int, begin engine.Date, places []Place) []Stage {
	at := newLocator(m, axis, level, horizon)
	stages := []Stage{}
	for i := range places {
		p := &places[i]
		number := at.stateOf(p)
		if int(number) == len(at.segments)+afterUnknown {
			continue
		}
		if len(stages) == 0 && p.FirstAt >= begin {
			stages = append(stages, Stage{State: at.state(len(at.segments) + afterNew), From: begin})
		}
		state, last := at.state(int(number)), len(stages)-1
		if last < 0 || stages[last].State != state {
			if last >= 0 {
				stages[last].Until, stages[last].Over = p.Date, true
			}
			stages = append(stages, Stage{State: state, From: p.Date})
			last++
		}
		stages[last].Until = p.Date
		stages[last].Snapshots++
	}
	return stages
}
