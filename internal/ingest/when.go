package ingest

import (
	"strings"
	"time"
)

// clock reads times of a file.
type clock struct {
	zone     *time.Location
	dayFirst *bool // how 7/8/2017 is meant; nil: not decided
}

// order of the numbers of a date, once a file uses a form that leaves it open.
const (
	datesDayFirst   = "day first"
	datesMonthFirst = "month first"
)

const undecided = "it is not certain whether the day or the month comes first in %q: say --day-first or --month-first"

// moment is a wall-clock time as written, with the zone if it states one.
type moment struct {
	year, month, day     int
	hour, minute, second int
	micro                int
	zoned                bool
	offset               int // seconds east of UTC, if zoned
}

// read gives the instant in UTC, and whether it is more than a date: not midnight in the store's zone.
func (c *clock) read(b []byte) (at time.Time, hasTime bool, f *fault) {
	m, rest, ok := isoDate(b)
	if !ok {
		m, rest, f = c.spreadsheetDate(b)
		if f != nil {
			return c.namedMonth(string(b), f)
		}
	}
	if !m.timeOfDay(rest) || !m.valid() {
		return at, false, &fault{ReasonUnreadable, "not a date: " + quote(b)}
	}
	return c.instant(&m)
}

func (c *clock) instant(m *moment) (at time.Time, hasTime bool, f *fault) {
	switch {
	case m.zoned:
		at = time.Date(m.year, time.Month(m.month), m.day, m.hour, m.minute, m.second, m.micro*1000, time.UTC)
		if m.offset != 0 {
			at = at.Add(-time.Duration(m.offset) * time.Second)
		}
		if c.zone == time.UTC && m.offset == 0 {
			return at, m.hour != 0 || m.minute != 0 || m.second != 0 || m.micro != 0, nil
		}
	default:
		at = time.Date(m.year, time.Month(m.month), m.day, m.hour, m.minute, m.second, m.micro*1000, c.zone).UTC()
	}
	return at, c.hasTime(at), nil
}

func (c *clock) hasTime(at time.Time) bool {
	hour, minute, second := at.In(c.zone).Clock()
	return hour != 0 || minute != 0 || second != 0 || at.Nanosecond() != 0
}

// isoDate reads YYYY-MM-DD, YYYY/MM/DD or YYYYMMDD and gives what follows.
func isoDate(b []byte) (m moment, rest []byte, ok bool) {
	if len(b) >= 10 && (b[4] == '-' || b[4] == '/') && b[7] == b[4] {
		y, ok1 := digits(b[:4])
		mo, ok2 := digits(b[5:7])
		d, ok3 := digits(b[8:10])
		return moment{year: y, month: mo, day: d}, b[10:], ok1 && ok2 && ok3
	}
	if len(b) == 8 || len(b) > 8 && (b[8] == 'T' || b[8] == ' ') {
		y, ok1 := digits(b[:4])
		mo, ok2 := digits(b[4:6])
		d, ok3 := digits(b[6:8])
		return moment{year: y, month: mo, day: d}, b[8:], ok1 && ok2 && ok3
	}
	return m, b, false
}

// slashed takes a date of three numbers such as 7/8/2017, 7-8-17 or 7.8.2017 apart.
func slashed(b []byte) (first, second, year int, separator byte, rest []byte, ok bool) {
	var n [3]int
	for i := range n {
		size := 0
		for size < len(b) && size < 5 && '0' <= b[size] && b[size] <= '9' {
			size++
		}
		v, fine := digits(b[:size])
		if !fine || i < 2 && size > 2 || i == 2 && size != 4 && size != 2 {
			return
		}
		if i == 2 && size == 2 {
			if v += 2000; v >= 2070 {
				v -= 100
			}
		}
		n[i], b = v, b[size:]
		if i == 2 {
			break
		}
		if len(b) == 0 || b[0] != '/' && b[0] != '.' && b[0] != '-' || i == 1 && b[0] != separator {
			return
		}
		separator, b = b[0], b[1:]
	}
	return n[0], n[1], n[2], separator, b, true
}

// spreadsheetDate reads dates of three numbers with the year last. Points stand only in dates with the day first.
func (c *clock) spreadsheetDate(b []byte) (m moment, rest []byte, f *fault) {
	first, second, year, separator, rest, ok := slashed(b)
	if !ok {
		return m, nil, &fault{ReasonUnreadable, "not a date: " + quote(b)}
	}
	m = moment{year: year, month: first, day: second}
	switch {
	case separator == '.', c.dayFirst != nil && *c.dayFirst:
		m.month, m.day = second, first
	case c.dayFirst == nil && first != second:
		return m, nil, &fault{ReasonUnreadable, strings.Replace(undecided, "%q", quote(b), 1)}
	}
	return m, rest, nil
}

// timeOfDay reads what follows a date: nothing, or [T ]H:MM[:SS[.fraction]][ AM|PM][zone].
func (m *moment) timeOfDay(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] != 'T' && b[0] != 't' && b[0] != ' ' && b[0] != ',' {
		return false
	}
	for b = b[1:]; len(b) > 0 && b[0] == ' '; {
		b = b[1:]
	}
	var ok bool
	if m.hour, b, ok = number(b, 2); !ok || len(b) == 0 || b[0] != ':' {
		return false
	}
	if m.minute, b, ok = number(b[1:], 2); !ok {
		return false
	}
	if len(b) > 0 && b[0] == ':' {
		if m.second, b, ok = number(b[1:], 2); !ok {
			return false
		}
		if len(b) > 0 && (b[0] == '.' || b[0] == ',') {
			b = m.fraction(b[1:])
		}
	}
	if b, ok = m.halfOfDay(b); !ok {
		return false
	}
	return m.zone(b)
}

// fraction reads decimals of a second, to the microsecond.
func (m *moment) fraction(b []byte) []byte {
	unit := 100_000
	for len(b) > 0 && '0' <= b[0] && b[0] <= '9' {
		m.micro += int(b[0]-'0') * unit
		unit /= 10
		b = b[1:]
	}
	return b
}

// halfOfDay reads AM or PM.
func (m *moment) halfOfDay(b []byte) ([]byte, bool) {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	if len(b) < 2 || b[1]|0x20 != 'm' || b[0]|0x20 != 'a' && b[0]|0x20 != 'p' {
		return b, true
	}
	if m.hour < 1 || m.hour > 12 {
		return b, false
	}
	m.hour %= 12
	if b[0]|0x20 == 'p' {
		m.hour += 12
	}
	return b[2:], true
}

// zone reads Z, UTC, GMT, +HH, +HHMM or +HH:MM.
func (m *moment) zone(b []byte) bool {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	switch string(b) {
	case "":
		return true
	case "Z", "z", "UTC", "GMT":
		m.zoned = true
		return true
	}
	if b[0] != '+' && b[0] != '-' {
		return false
	}
	east := b[0] == '+'
	hour, ok := digits(b[1:min(3, len(b))])
	if !ok || len(b) < 3 {
		return false
	}
	minute := 0
	if b = b[3:]; len(b) > 0 {
		if b[0] == ':' {
			b = b[1:]
		}
		if minute, ok = digits(b); !ok || len(b) != 2 {
			return false
		}
	}
	if hour > 15 || minute > 59 {
		return false
	}
	m.zoned, m.offset = true, hour*3600+minute*60
	if !east {
		m.offset = -m.offset
	}
	return true
}

// valid tells whether there is such a day and time.
func (m *moment) valid() bool {
	return m.year >= 1 && m.month >= 1 && m.month <= 12 && m.day >= 1 && m.day <= daysIn(m.year, m.month) &&
		m.hour < 24 && m.minute < 60 && m.second < 60
}

func daysIn(year, month int) int {
	if month == 2 {
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 30 + (month+month/8)%2
}

// namedMonths are forms that leave no doubt about their month.
var namedMonths = []string{
	"2 Jan 2006", "2 January 2006", "Jan 2, 2006", "January 2, 2006", "2-Jan-2006", "2-Jan-06",
	"2 Jan 2006 15:04", "2 Jan 2006 15:04:05", "Jan 2, 2006 15:04", "Jan 2, 2006 15:04:05",
	"January 2, 2006 3:04 PM", "Jan 2, 2006 3:04 PM", "Jan 2, 2006, 3:04:05 PM", "2-Jan-2006 15:04", "2-Jan-2006 15:04:05",
	time.RFC1123Z, time.ANSIC,
}

// namedMonth is the last resort; f is the fault so far.
func (c *clock) namedMonth(s string, f *fault) (time.Time, bool, *fault) {
	if len(s) > 40 {
		return time.Time{}, false, f
	}
	for _, layout := range namedMonths {
		if at, err := time.ParseInLocation(layout, s, c.zone); err == nil && at.Year() >= 1 {
			at = at.UTC()
			return at, c.hasTime(at), nil
		}
	}
	return time.Time{}, false, f
}

// digits reads a number of digits only.
func digits(b []byte) (n int, ok bool) {
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// number reads up to size digits and gives what follows them.
func number(b []byte, size int) (n int, rest []byte, ok bool) {
	i := 0
	for i < len(b) && i < size && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	n, ok = digits(b[:i])
	return n, b[i:], ok
}

// dateVotes collects what a file's own dates say about their order.
type dateVotes struct{ dayFirst, monthFirst bool }

func (v *dateVotes) see(b []byte) {
	first, second, _, separator, _, ok := slashed(b)
	if !ok || separator == '.' {
		return
	}
	v.dayFirst = v.dayFirst || first > 12 && second <= 12
	v.monthFirst = v.monthFirst || second > 12 && first <= 12
}

// decide gives the order that all dates allow and at least one demands; nil where there is none.
func (v *dateVotes) decide() *bool {
	if v.dayFirst == v.monthFirst {
		return nil
	}
	return &v.dayFirst
}
