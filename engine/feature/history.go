package feature

import (
	"math"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
)

const (
	bulkQuantity     = 3  // a line of so many units is bulk
	deepOrders       = 3  // a category with so many orders is a deep one
	activeWindowDays = 30 // the length of the windows in which a customer is active or not
	fadingDays       = 90 // recent purchases fade with this time constant
	recoveryDays     = 60 // an order within so many days of a refund means that it did no harm
	floorAmount      = 0.01
)

// order is a purchase: all that was bought on one day.
type order struct {
	day      engine.Date
	net      int64
	refunded int64
	hit      bool // some of it was refunded
}

// openDay is what the purchase that is open holds beside its order.
type openDay struct {
	discount    int64
	units       int64
	skus        int
	categories  []int32
	newCategory bool
}

// orderKey says to which purchase an order of the shop belongs.
type orderKey struct {
	key      string
	purchase int32
}

// refund is money paid back on a line that was bought.
type refund struct {
	at       time.Time
	purchase int32
	cents    int64
	units    float64
}

// returnDay is a day on which articles came back that no order names.
type returnDay struct {
	day      engine.Date
	cents    int64
	purchase int32 // the one before it; -1: none
}

// history is what the lines and refunds so far say, in a form that takes in the next one at little cost.
type history struct {
	lines  []engine.Line
	next   int // lines[:next] are in
	latest engine.Date
	events int // lines and refunds
	// changed: something came in since the features were computed.
	changed bool

	orders []order
	closed bool // the last order is in the sums and sets below
	day    openDay

	net, gross, discount int64
	units, bulkUnits     int64
	values               []int64 // of closed orders, in no order
	largest              int64
	valueTrend           trend // of ln V
	discounted           int   // orders
	logUnits             float64
	logSKUs              float64
	skuOrders            int // orders that name an article

	gaps             []int32 // days between purchases, in no order
	gapSum, gapSum2  float64
	gapTrend         trend     // of ln g
	gapLogs          float64   // sum of g ln g
	medianGap        float64   // of the last time the features were computed; NaN for one purchase
	fading           float64   // sum of exp(-age/90 days), seen from the last purchase
	lately, earlier  rankOfDay // of the last 90 and 180 days, as of the last instant
	windows          int       // of 30 days from the first purchase, with a purchase
	lastWindow       engine.Date
	weekend, office  int
	hourCos, hourSin float64
	yearCos, yearSin float64

	skus, repeatedSKUs      int
	laterLines, repeatLines int
	intervals               []int32 // days until the same article again, in no order
	skuSpend, skuSquares    float64

	categories     []int32
	categoryLines  int
	categoryOrders int // orders that name a category
	mixedOrders    int
	deepCategories int
	exploring      int // later orders that add a category
	mainCategory   int32
	mainPairs      int // consecutive orders of which both name a category
	mainChanges    int

	orderKeys   []orderKey
	sought      orderKey // the last answer of purchaseOf, and among how many it was sought
	soughtAmong int
	orderIndex  map[string]int32 // purchase by order id, of orderKeys[:indexed]
	indexed     int
	refunds     []refund // by time
	paid        int      // refunds[:paid] are in
	refundSum   int64    // refunds and returns
	refundUnits float64
	hits        []int32 // orders of which some was refunded
	returns     []returnDay
	waiting     []engine.Date // refunds and returns without a purchase since
	recovered   int

	priced     []pricedLine
	pricedDone int // priced[:pricedDone] are in prices
	prices     priceSums
	table      *storeTable
}

// reset forgets everything but the memory.
func (h *history) reset(lines []engine.Line) {
	h.valueTrend.reset()
	h.gapTrend.reset()
	if h.orderIndex == nil {
		h.orderIndex = make(map[string]int32)
	} else if len(h.orderIndex) > 0 {
		clear(h.orderIndex)
	}
	*h = history{
		lines:        lines,
		latest:       math.MinInt32,
		mainCategory: -1,
		orders:       h.orders[:0],
		day:          openDay{categories: h.day.categories[:0]},
		values:       h.values[:0],
		valueTrend:   h.valueTrend,
		gaps:         h.gaps[:0],
		gapTrend:     h.gapTrend,
		intervals:    h.intervals[:0],
		categories:   h.categories[:0],
		orderKeys:    h.orderKeys[:0],
		orderIndex:   h.orderIndex,
		refunds:      h.refunds[:0],
		hits:         h.hits[:0],
		returns:      h.returns[:0],
		waiting:      h.waiting[:0],
		priced:       h.priced[:0],
	}
}

// pause gives the second from which the next line or refund may count.
func (h *history) pause() int64 {
	second := int64(math.MaxInt64)
	if h.next < len(h.lines) {
		second = h.lines[h.next].OrderedAt.Unix()
	}
	if h.paid < len(h.refunds) {
		second = min(second, h.refunds[h.paid].at.Unix())
	}
	return second
}

// rankOfDay is the number of purchases before a day, which mostly moves on by little.
type rankOfDay int

func (r *rankOfDay) move(orders []order, day engine.Date) {
	for int(*r) < len(orders) && orders[*r].day < day {
		*r++
	}
	for *r > 0 && orders[*r-1].day >= day {
		*r--
	}
}

func (h *history) lastDay() engine.Date { return h.orders[len(h.orders)-1].day }

// openDay begins a purchase; second is the time of its first line.
func (h *history) openDay(day engine.Date, second int, season *seasons) {
	if n := len(h.orders); n == 0 {
		h.windows = 1
	} else {
		gap := day - h.lastDay()
		h.gaps = append(h.gaps, int32(gap))
		g := float64(gap)
		h.gapSum += g
		h.gapSum2 += g * g
		h.gapTrend.add(lnCount(int(gap)))
		h.gapLogs += g * lnCount(int(gap))
		h.fading *= fade(int(gap))
		if w := (day - h.orders[0].day) / activeWindowDays; w != h.lastWindow {
			h.windows++
			h.lastWindow = w
		}
	}
	h.fading++
	switch day.Weekday() {
	case time.Saturday, time.Sunday:
		h.weekend++
	default:
	}
	if hour := second / 3600; hour >= 9 && hour < 17 {
		h.office++
	}
	sin, cos := math.Sincos(2 * math.Pi * float64(second) / secondsPerDay)
	h.hourSin += sin
	h.hourCos += cos
	year := season.of(day)
	h.yearSin += year.sin
	h.yearCos += year.cos

	// A purchase tells of every refund before its day whether it was the end.
	kept := h.waiting[:0]
	for _, since := range h.waiting {
		switch {
		case since >= day:
			kept = append(kept, since)
		case day-since <= recoveryDays:
			h.recovered++
		}
	}
	h.waiting = kept
	h.orders = append(h.orders, order{day: day})
	if last := len(h.returns) - 1; last >= 0 && h.returns[last].day == day {
		h.returns[last].purchase = int32(len(h.orders) - 1)
	}
	h.closed = false
	h.day = openDay{categories: h.day.categories[:0]}
}

// seasons remembers the direction of days in the year, since many customers buy on one day.
type seasons [1024]struct {
	direction
	day   engine.Date
	known bool
}

// direction is a point of the unit circle.
type direction struct{ sin, cos float64 }

func (s *seasons) of(day engine.Date) direction {
	e := &s[uint32(day)%uint32(len(s))]
	if !e.known || e.day != day {
		e.day, e.known = day, true
		e.sin, e.cos = math.Sincos(yearAngle(day))
	}
	return e.direction
}

// yearAngle turns the day of the year into an angle, 1 January being 0.
func yearAngle(day engine.Date) float64 {
	year, _, _ := day.Calendar()
	first, next := engine.NewDate(year, time.January, 1), engine.NewDate(year+1, time.January, 1)
	return 2 * math.Pi * float64(day-first) / float64(next-first)
}

// closeDay adds the last purchase to the sums and sets; main is its category of the largest spend, -1 where it names none.
func (h *history) closeDay(main int32) {
	h.closed = true
	o := &h.orders[len(h.orders)-1]
	h.values = append(h.values, o.net)
	if len(h.orders) == 1 || o.net > h.largest {
		h.largest = o.net
	}
	h.valueTrend.add(math.Log(max(floorAmount, float64(o.net)/100)))
	if h.day.discount > 0 {
		h.discounted++
	}
	h.logUnits += lnCount(int(h.day.units))
	if h.day.skus > 0 {
		h.skuOrders++
		h.logSKUs += lnCount(h.day.skus)
	}
	if main >= 0 {
		h.categoryOrders++
		if h.day.newCategory && h.categoryOrders > 1 {
			h.exploring++
		}
		if len(h.day.categories) > 1 {
			h.mixedOrders++
		}
		if h.mainCategory >= 0 {
			h.mainPairs++
			if main != h.mainCategory {
				h.mainChanges++
			}
		}
	}
	h.mainCategory = main
}

// expect puts a refund in its place among those to come. One that is known before its order counts from the order.
func (h *history) expect(l *engine.Line) {
	at := l.RefundKnownAt()
	if at.Before(l.OrderedAt) {
		at = l.OrderedAt
	}
	units := float64(l.Quantity)
	if l.RefundCents < l.NetCents {
		units *= float64(l.RefundCents) / float64(l.NetCents)
	}
	r := refund{at: at, purchase: int32(len(h.orders) - 1), cents: l.RefundCents, units: units}
	place := len(h.refunds)
	for place > h.paid && h.refunds[place-1].at.After(at) {
		place--
	}
	h.refunds = slices.Insert(h.refunds, place, r)
}

// refunded takes in a refund that has become known.
func (h *history) refunded(r *refund, day engine.Date) {
	h.refundSum += r.cents
	h.refundUnits += r.units
	h.hit(r.purchase, r.cents, day)
}

// returned takes in a line of negative quantity. One that bears the id of an order bought before belongs to it; the
// others count by day.
func (h *history) returned(l *engine.Line, day engine.Date, have engine.Columns) {
	cents := l.NetCents
	if cents < 0 {
		cents = -cents
	}
	h.refundSum += cents
	h.refundUnits -= float64(l.Quantity)
	if have.Has(engine.ColumnOrderID) {
		if purchase := h.purchaseOf(l.OrderKey); purchase >= 0 {
			h.hit(purchase, cents, day)
			return
		}
	}
	if last := len(h.returns) - 1; last >= 0 && h.returns[last].day == day {
		h.returns[last].cents += cents
		return
	}
	h.returns = append(h.returns, returnDay{day: day, cents: cents, purchase: int32(len(h.orders) - 1)})
	h.waiting = append(h.waiting, day)
}

// purchaseOf gives the purchase that an order of the shop belongs to, -1 where none of its lines was bought.
func (h *history) purchaseOf(key string) int32 {
	if h.sought.key == key && h.soughtAmong == len(h.orderKeys) {
		return h.sought.purchase // the lines of one return come one after another
	}
	h.sought, h.soughtAmong = orderKey{key, -1}, len(h.orderKeys)
	if len(h.orderKeys) <= scannedOrders {
		for _, o := range h.orderKeys {
			if o.key == key {
				h.sought.purchase = o.purchase
			}
		}
		return h.sought.purchase
	}
	for ; h.indexed < len(h.orderKeys); h.indexed++ {
		h.orderIndex[h.orderKeys[h.indexed].key] = h.orderKeys[h.indexed].purchase
	}
	if purchase, ok := h.orderIndex[key]; ok {
		h.sought.purchase = purchase
	}
	return h.sought.purchase
}

// Up to so many orders are looked through for an order id; of more an index is made.
const scannedOrders = 32

// hit notes that some of a purchase was refunded.
func (h *history) hit(purchase int32, cents int64, day engine.Date) {
	o := &h.orders[purchase]
	o.refunded += cents
	if !o.hit {
		o.hit = true
		h.hits = append(h.hits, purchase)
		h.waiting = append(h.waiting, day)
	}
}
