package synth

import (
	"time"

	"github.com/quimbi/quimbi/engine"
)

// rhythm is when in the week and in the day a customer likes to shop.
type rhythm struct {
	share float64
	week  [7]float64 // from Sunday; the mean is 1
	hour  float64    // the usual one
	width float64    // standard deviation in hours
}

var rhythms = [...]rhythm{
	{share: 0.45, week: [7]float64{1.2, 0.9, 0.9, 0.9, 0.9, 0.95, 1.25}, hour: 20, width: 1.8},
	{share: 0.35, week: [7]float64{0.4, 1.25, 1.25, 1.25, 1.25, 1.1, 0.5}, hour: 11, width: 2},
	{share: 0.20, week: [7]float64{2.3, 0.3, 0.3, 0.3, 0.3, 0.7, 2.8}, hour: 15, width: 2.5},
}

// An enterprise orders in office hours.
var officeRhythm = rhythm{week: [7]float64{0, 1.4, 1.4, 1.4, 1.4, 1.4, 0}, hour: 10.5, width: 1.6}

// The year of a quilter: presents are sewn in autumn, the garden has the summer.
var season = [12]float64{1.1, 1.0, 1.0, 0.95, 0.85, 0.8, 0.8, 0.9, 1.05, 1.2, 1.35, 1.0}

// calendar holds, for every day of the history, how busy it is for each rhythm; officeRhythm is the last.
type calendar struct {
	weight [len(rhythms) + 1][]float64
	sale   []bool
}

func newCalendar(begin, end engine.Date) calendar {
	var c calendar
	c.sale = make([]bool, end-begin+1)
	for r := range c.weight {
		c.weight[r] = make([]float64, end-begin+1)
	}
	for d := begin; d <= end; d++ {
		_, month, day := d.Calendar()
		c.sale[d-begin] = onSale(month, day)
		for r := range c.weight {
			c.weight[r][d-begin] = rhythmAt(r).week[d.Weekday()] * season[month-1]
		}
	}
	return c
}

func rhythmAt(i int) *rhythm {
	if i < len(rhythms) {
		return &rhythms[i]
	}
	return &officeRhythm
}

// onSale tells whether the shop has one of its three sales of the year.
func onSale(month time.Month, day int) bool {
	return month == time.November && day >= 24 || month == time.January && day <= 7 || month == time.July && day >= 10 && day <= 17
}

// pickRhythm turns a uniform number from [0, 1) into a rhythm.
func pickRhythm(u float64) int {
	for i := range rhythms {
		if u -= rhythms[i].share; u < 0 {
			return i
		}
	}
	return len(rhythms) - 1
}

const secondsPerDay = 24 * 60 * 60

// moment gives a second of the day for an order, in Unix time.
func (r *rhythm) moment(day engine.Date, random draw) int64 {
	within := reflected((r.hour+r.width*random.NormFloat64())/24) * secondsPerDay
	return int64(day)*secondsPerDay + min(int64(within), secondsPerDay-1)
}
