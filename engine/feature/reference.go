package feature

import (
	"cmp"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
)

const (
	priceDays     = 365 // prices older than this no longer count
	minPriceLines = 5   // an article sold less often has no usual price
)

// ReferenceBuilder sees the lines of every customer once, in any order of customers, and gives a Reference for each of some
// months. What it gives does not depend on the order, nor on how customers are divided among builders that are merged.
// It is not safe for concurrent use.
type ReferenceBuilder struct {
	builder    *Builder // counts shares by the same rules as the features
	instants   []engine.Instant
	months     []engine.Date
	periods    periods
	shares     [][shareCount]shareSum
	skus       priceBook
	categories priceBook
}

// shareSum is a share of all customers together.
type shareSum struct{ x, n int64 }

// NewReferenceBuilder makes a builder for a store with these columns; months are the firsts of months, ascending.
func NewReferenceBuilder(zone *time.Location, have engine.Columns, months []engine.Date) *ReferenceBuilder {
	r := &ReferenceBuilder{
		builder: NewBuilder(zone, have&^engine.ColumnSKU), // no share looks at articles
		months:  slices.Clone(months),
		periods: newPeriods(months),
		shares:  make([][shareCount]shareSum, len(months)),
	}
	for _, month := range months {
		r.instants = append(r.instants, engine.Instant{At: month.In(r.builder.clock.zone)})
	}
	r.skus.on, r.categories.on = have.Has(engine.ColumnSKU), have.Has(engine.ColumnCategory)
	return r
}

// Add takes in all lines of one customer, in time order.
func (r *ReferenceBuilder) Add(customerLines []engine.Line) {
	if slices.ContainsFunc(customerLines, isCancelled) {
		customerLines = slices.DeleteFunc(slices.Clone(customerLines), isCancelled)
	}
	r.builder.walk(customerLines, r.instants, func(i int, _ bool) {
		for s := range r.shares[i] {
			x, n := r.builder.history.share(share(s))
			r.shares[i][s].x += int64(x)
			r.shares[i][s].n += int64(n)
		}
	})
	for i := range customerLines {
		l := &customerLines[i]
		if l.Quantity <= 0 {
			continue
		}
		day, _ := r.builder.clock.at(l.OrderedAt)
		period := r.periods.of(day)
		if period < 0 {
			continue
		}
		r.skus.add(l.SKU, unitPrice(l.NetCents, l.Quantity), period)
		r.categories.add(l.Category, unitPrice(l.GrossCents(), l.Quantity), period)
	}
}

func isCancelled(l engine.Line) bool { return !l.CancelledAt.IsZero() }

// Merge takes over what another builder, made with the same arguments, has seen.
func (r *ReferenceBuilder) Merge(other *ReferenceBuilder) error {
	if !slices.Equal(r.months, other.months) {
		return engine.Errorf(engine.CodeInternal, "references of different months cannot be merged")
	}
	for i := range r.shares {
		for s := range r.shares[i] {
			r.shares[i][s].x += other.shares[i][s].x
			r.shares[i][s].n += other.shares[i][s].n
		}
	}
	r.skus.merge(&other.skus)
	r.categories.merge(&other.categories)
	return nil
}

// References gives the reference of each month, in the order of the months.
func (r *ReferenceBuilder) References() []*engine.Reference {
	references := make([]*engine.Reference, len(r.months))
	for i, month := range r.months {
		ref := &engine.Reference{Month: month, Shares: make(map[string]float64)}
		for s, sum := range r.shares[i] {
			if sum.n > 0 {
				ref.Shares[shareKeys[s]] = min(1, float64(sum.x)/float64(sum.n))
			}
		}
		references[i] = ref
	}
	r.skus.each(r.periods.windows, func(window int, sku string, prices []priceCount, lines int) {
		if lines < minPriceLines {
			return
		}
		ref := references[window]
		if ref.Prices == nil {
			ref.Prices = make(map[string]float32)
		}
		ref.Prices[sku] = priceQuantile(prices, lines, 1, 2)
	})
	r.categories.each(r.periods.windows, func(window int, category string, prices []priceCount, lines int) {
		quantiles := make([]float32, priceQuantiles)
		for j := range quantiles {
			quantiles[j] = priceQuantile(prices, lines, j, priceQuantiles-1)
		}
		ref := references[window]
		if ref.Categories == nil {
			ref.Categories = make(map[string][]float32)
		}
		ref.Categories[category] = quantiles
	})
	return references
}

// periods divides the days into stretches that belong to the same price windows, so that a price need not be kept with
// its day to be counted in every window exactly.
type periods struct {
	bounds  []engine.Date // period i is [bounds[i], bounds[i+1])
	used    []bool        // by period: some window holds it
	windows []window      // by month
}

// window is the periods [from, to).
type window struct{ from, to int32 }

func newPeriods(months []engine.Date) periods {
	var p periods
	for _, month := range months {
		p.bounds = append(p.bounds, month-priceDays, month)
	}
	slices.Sort(p.bounds)
	p.bounds = slices.Compact(p.bounds)
	p.used = make([]bool, len(p.bounds))
	for _, month := range months {
		from, _ := slices.BinarySearch(p.bounds, month-priceDays)
		to, _ := slices.BinarySearch(p.bounds, month)
		p.windows = append(p.windows, window{int32(from), int32(to)})
		for i := from; i < to; i++ {
			p.used[i] = true
		}
	}
	return p
}

// of gives the period of a day, -1 where it belongs to no window.
func (p *periods) of(day engine.Date) int32 {
	i, exact := slices.BinarySearch(p.bounds, day)
	if !exact {
		i--
	}
	if i < 0 || !p.used[i] {
		return -1
	}
	return int32(i)
}

// priceCount says how many lines of a period had a price.
type priceCount struct {
	price  float32
	period int32
	lines  int32
}

// priceBook counts prices by name and period. A shop has few prices an article, so it grows with articles, not with lines.
type priceBook struct {
	on     bool
	names  dictionary
	counts [][]priceCount // by name's id; the same price and period may stand several times until tidied
}

// A list of prices shorter than this is not worth tidying.
const minTidyLength = 16

func (b *priceBook) add(name string, price float32, period int32) {
	if b.on && name != "" {
		b.count(name, priceCount{price, period, 1})
	}
}

func (b *priceBook) count(name string, c priceCount) {
	id := int(b.names.id(name))
	if id == len(b.counts) {
		b.counts = append(b.counts, nil)
	}
	list := b.counts[id]
	if n := len(list); n > 0 && list[n-1].price == c.price && list[n-1].period == c.period {
		list[n-1].lines += c.lines
		return
	}
	if len(list) == cap(list) && len(list) >= minTidyLength {
		if list = tidied(list); len(list) > cap(list)/2 {
			list = slices.Grow(list, cap(list)) // not to tidy again soon
		}
	}
	b.counts[id] = append(list, c)
}

// tidied sorts by price, then period, and adds up what is equal, in place.
func tidied(list []priceCount) []priceCount {
	slices.SortFunc(list, func(x, y priceCount) int {
		return cmp.Or(cmp.Compare(x.price, y.price), cmp.Compare(x.period, y.period))
	})
	kept := list[:0]
	for _, c := range list {
		if n := len(kept); n > 0 && kept[n-1].price == c.price && kept[n-1].period == c.period {
			kept[n-1].lines += c.lines
		} else {
			kept = append(kept, c)
		}
	}
	return kept
}

func (b *priceBook) merge(other *priceBook) {
	for id, list := range other.counts {
		for _, c := range list {
			b.count(other.names.names[id], c)
		}
	}
}

// each visits, for every name and window in which it was sold, its prices in ascending order and the number of lines. The
// slice is reused.
func (b *priceBook) each(windows []window, visit func(window int, name string, prices []priceCount, lines int)) {
	var prices []priceCount
	for id := range b.counts {
		b.counts[id] = tidied(b.counts[id])
		for w := range windows {
			prices = prices[:0]
			lines := 0
			for _, c := range b.counts[id] {
				if c.period >= windows[w].from && c.period < windows[w].to {
					prices = append(prices, c)
					lines += int(c.lines)
				}
			}
			if lines > 0 {
				visit(w, b.names.names[id], prices, lines)
			}
		}
	}
}

// priceQuantile is the quantile j/of of the prices of so many lines, between two prices by interpolation (type 7 of
// Hyndman and Fan, "Sample quantiles in statistical packages", The American Statistician 50(4), 1996).
func priceQuantile(prices []priceCount, lines, j, of int) float32 {
	place := (lines - 1) * j
	index, rest := place/of, place%of
	for i, c := range prices {
		if index >= int(c.lines) {
			index -= int(c.lines)
			continue
		}
		if rest == 0 || index+1 < int(c.lines) || i+1 == len(prices) {
			return c.price
		}
		low, high := float64(c.price), float64(prices[i+1].price)
		return float32(low + (high-low)*float64(rest)/float64(of))
	}
	return 0
}
