package feature

import (
	"strings"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// dictionary gives names small numbers, so that what is kept by name can be a slice. It serves all customers of a
// builder: most names come up again.
type dictionary struct {
	ids   map[string]int32
	names []string
	// last is the name of the line before, which in a sorted order is often the name of this one.
	last   string
	lastID int32
}

// A dictionary that has grown beyond this many names is begun anew with the next customer: a store whose SKUs are all
// different must not fill the memory.
const dictionaryLimit = 1 << 18

func (d *dictionary) id(name string) int32 {
	if name == d.last && len(d.names) > 0 {
		return d.lastID
	}
	id, ok := d.ids[name]
	if !ok {
		if d.ids == nil {
			d.ids = make(map[string]int32)
		}
		name = strings.Clone(name) // a name may be a part of a large buffer
		id = int32(len(d.names))
		d.ids[name] = id
		d.names = append(d.names, name)
	}
	d.last, d.lastID = d.names[id], id
	return id
}

// wallClock tells day and time of day in a zone, remembering the offset in force: asking the zone for each line would
// cost more than all else that is done with it.
type wallClock struct {
	zone     *time.Location
	from, to int64 // seconds; the offset holds in [from, to)
	offset   int64
}

const secondsPerDay = 24 * 60 * 60

// at gives the day and the seconds since midnight on the wall.
func (c *wallClock) at(t time.Time) (engine.Date, int) {
	seconds := t.Unix()
	if seconds < c.from || seconds >= c.to {
		c.look(t)
	}
	seconds += c.offset
	day := seconds / secondsPerDay
	rest := seconds % secondsPerDay
	if rest < 0 {
		day--
		rest += secondsPerDay
	}
	return engine.Date(day), int(rest)
}

func (c *wallClock) look(t time.Time) {
	local := t.In(c.zone)
	_, offset := local.Zone()
	c.offset = int64(offset)
	from, to := local.ZoneBounds()
	c.from, c.to = -1<<62, 1<<62
	if !from.IsZero() {
		c.from = from.Unix()
	}
	if !to.IsZero() {
		c.to = to.Unix()
	}
}
