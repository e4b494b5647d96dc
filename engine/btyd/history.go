// Package btyd holds "buy till you die" models of repeat purchase and spend: BG/NBD, MBG/NBD, Pareto/NBD and
// Gamma-Gamma, their maximum likelihood fits, lifetime value, and change alarms for single customers.
//
// The package knows numbers only. Time is in weeks; a purchase is one customer-day. All functions are pure, and every
// result is the same for any number of workers.
package btyd

import (
	"cmp"
	"math"
	"slices"
)

// DaysPerWeek turns days into the weeks of this package; days are divided and never rounded.
const DaysPerWeek = 7

// History is what the purchase models know of one customer.
type History struct {
	// X counts repeat purchases: purchase days minus one.
	X int `json:"x"`
	// Tx is the time from the first to the last purchase in weeks; 0 exactly when X is 0.
	Tx float64 `json:"t_x"`
	// T is the time from the first purchase to now in weeks.
	T float64 `json:"t"`
}

// HistoryOfDays makes a history of the number of repeat purchases and the days from the first purchase to the last and
// to now.
func HistoryOfDays(repeats, daysToLast, daysToNow int) History {
	return History{
		X:  repeats,
		Tx: float64(daysToLast) / DaysPerWeek,
		T:  float64(daysToNow) / DaysPerWeek,
	}
}

// Valid tells whether x >= 0, 0 <= t_x <= T, both finite, and x = 0 exactly when t_x = 0.
func (h History) Valid() bool {
	return h.X >= 0 && h.Tx >= 0 && h.Tx <= h.T && !math.IsInf(h.T, 1) && (h.X == 0) == (h.Tx == 0)
}

// Group is a history with the number of customers who share it.
type Group struct {
	History
	Count int `json:"count"`
}

// GroupHistories counts equal histories. Groups come sorted by x, then T, then t_x, so that equal sets of customers give
// equal groups in whatever order they arrive. Invalid histories are left out and counted in rejected.
func GroupHistories(histories []History) (groups []Group, rejected int) {
	valid := make([]History, 0, len(histories))
	for _, h := range histories {
		if h.Valid() {
			valid = append(valid, h)
		}
	}
	slices.SortFunc(valid, compareHistories)
	for _, h := range valid {
		if n := len(groups); n > 0 && groups[n-1].History == h {
			groups[n-1].Count++
			continue
		}
		groups = append(groups, Group{History: h, Count: 1})
	}
	return groups, len(histories) - len(valid)
}

func compareHistories(a, b History) int {
	if c := cmp.Compare(a.X, b.X); c != 0 {
		return c
	}
	if c := cmp.Compare(a.T, b.T); c != 0 {
		return c
	}
	return cmp.Compare(a.Tx, b.Tx)
}
