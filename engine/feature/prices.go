package feature

import (
	"math"

	"github.com/quimbi/quimbi/engine"
)

// share is a share that is shrunk to the store's mean.
type share int

const (
	shareDiscounted share = iota
	shareMixed
	shareRefunded
	shareExploring
	shareWeekend
	shareOffice
	shareCount
)

// shareKeys are the features that the shares become.
var shareKeys = [shareCount]string{
	shareDiscounted: "discounted_orders",
	shareMixed:      "mixed_orders",
	shareRefunded:   "refunded_orders",
	shareExploring:  "exploring_orders",
	shareWeekend:    "weekend_share",
	shareOffice:     "office_hours_share",
}

// share gives x of n; n is 0 where the share is undefined. Shares over categories are of the orders that name one.
func (h *history) share(s share) (x, n int) {
	switch s {
	case shareDiscounted:
		return h.discounted, len(h.orders)
	case shareMixed:
		return h.mixedOrders, h.categoryOrders
	case shareRefunded:
		return len(h.hits) + len(h.returns), len(h.orders)
	case shareExploring:
		return h.exploring, max(0, h.categoryOrders-1)
	case shareWeekend:
		return h.weekend, len(h.orders)
	case shareOffice:
		return h.office, len(h.orders)
	default:
		return 0, 0
	}
}

// A share of a few orders says little: it is shrunk to the store's mean as if there were so many orders more.
const shrinkOrders = 5

// shrunk is (x + 5p)/(n + 5), at most 1.
func shrunk(x, n int, p float64) float64 {
	if n == 0 {
		return undefined
	}
	return min(1, (float64(x)+shrinkOrders*p)/float64(n+shrinkOrders))
}

// storeTable is a Reference with its names turned into a builder's numbers, as far as they came up.
type storeTable struct {
	reference  *engine.Reference // may be nil
	means      [shareCount]float64
	logPrices  []float64   // by SKU: ln of the median price, NaN where there is none, unresolved where not looked up yet
	categories [][]float32 // by category: quantiles of the price; nil where there are none, unresolvedPrices likewise
}

// unresolved stands for a name that has not been looked up.
var (
	unresolved       = math.Inf(1)
	unresolvedPrices = []float32{}
)

// unknownMean is what shares are shrunk to while nothing is known of the store.
const unknownMean = 0.5

func newStoreTable(r *engine.Reference) *storeTable {
	t := &storeTable{reference: r}
	for s := range t.means {
		t.means[s] = unknownMean
		if r == nil {
			continue
		}
		if mean, ok := r.Shares[shareKeys[s]]; ok {
			t.means[s] = mean
		}
	}
	return t
}

func (t *storeTable) logPrice(id int32, names []string) float64 {
	for int(id) >= len(t.logPrices) {
		t.logPrices = append(t.logPrices, unresolved)
	}
	if known := t.logPrices[id]; known != unresolved { //nolint:gocritic // NaN is an answer too
		return known
	}
	t.logPrices[id] = undefined
	if price, ok := t.reference.Prices[names[id]]; ok {
		t.logPrices[id] = math.Log(max(floorAmount, float64(price)))
	}
	return t.logPrices[id]
}

func (t *storeTable) prices(id int32, names []string) []float32 {
	for int(id) >= len(t.categories) {
		t.categories = append(t.categories, unresolvedPrices)
	}
	if known := t.categories[id]; known == nil || len(known) > 0 {
		return known
	}
	t.categories[id] = nil
	if prices := t.reference.Categories[names[id]]; len(prices) == priceQuantiles {
		t.categories[id] = prices
	}
	return t.categories[id]
}

// pricedLine is what is needed of a line to hold its price against the store's.
type pricedLine struct {
	sku, category int32 // -1: none
	units         int32
	gross         float32 // unit price before discount
	rank          int32   // among the prices of its category, when last looked up
	logNet        float64 // ln of the unit price after discount
}

func priceLine(l *engine.Line, sku, category int32) pricedLine {
	p := pricedLine{sku: sku, category: category, units: l.Quantity, gross: unitPrice(l.GrossCents(), l.Quantity)}
	p.rank = priceQuantiles / 2
	if sku >= 0 {
		p.logNet = math.Log(max(floorAmount, float64(unitPrice(l.NetCents, l.Quantity))))
	}
	return p
}

// unitPrice is in units of the currency, as precise as it is stored in a Reference, so that equal prices are equal.
func unitPrice(cents int64, units int32) float32 {
	return float32(float64(cents) / 100 / float64(units))
}

// priceSums are the sums over lines that price features are made of.
type priceSums struct {
	skuUnits, logRatio                              float64
	categoryUnits, premium, percentile, percentile2 float64
	categoryLines                                   int
}

// holdAgainst takes in the lines that came in since, all of them where the table is another one.
func (h *history) holdAgainst(t *storeTable, skus, categories []string) {
	if t != h.table {
		h.table, h.prices, h.pricedDone = t, priceSums{}, 0
	}
	if t.reference == nil {
		return
	}
	p := &h.prices
	for ; h.pricedDone < len(h.priced); h.pricedDone++ {
		l := &h.priced[h.pricedDone]
		units := float64(l.units)
		if l.sku >= 0 {
			if usual := t.logPrice(l.sku, skus); usual == usual { //nolint:gocritic // not NaN
				p.skuUnits += units
				p.logRatio += units * (l.logNet - usual)
			}
		}
		if l.category >= 0 {
			if prices := t.prices(l.category, categories); prices != nil {
				l.rank = int32(rank(prices, l.gross, int(l.rank)))
				percentile := pricePercentile(prices, l.gross, int(l.rank))
				p.categoryLines++
				p.categoryUnits += units
				p.percentile += units * percentile
				p.percentile2 += units * percentile * percentile
				if l.gross > prices[premiumQuantile] {
					p.premium += units
				}
			}
		}
	}
}

const (
	// priceQuantiles is the number of quantiles of a category's prices, in steps of 2.5 %.
	priceQuantiles  = 41
	premiumQuantile = 30 // the 75th percentile
)

// rank gives the number of quantiles below a price. It walks there from a guess: the price's rank of a month ago, as prices
// are held against another month's quantiles far more often than against their first.
func rank(quantiles []float32, price float32, guess int) int {
	for guess > 0 && quantiles[guess-1] >= price {
		guess--
	}
	for guess < len(quantiles) && quantiles[guess] < price {
		guess++
	}
	return guess
}

// pricePercentile tells where a price with so many quantiles below it stands, from 0 to 1: between two of them by
// interpolation, on several equal ones in their middle.
func pricePercentile(quantiles []float32, price float32, below int) float64 {
	const step = 1.0 / (priceQuantiles - 1)
	switch {
	case below == len(quantiles):
		return 1
	case quantiles[below] == price:
		upTo := below + 1
		for upTo < len(quantiles) && quantiles[upTo] == price {
			upTo++
		}
		return float64(below+upTo-1) / 2 * step
	case below == 0:
		return 0
	default:
		low, high := quantiles[below-1], quantiles[below]
		return (float64(below-1) + float64((price-low)/(high-low))) * step
	}
}
