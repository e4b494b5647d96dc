package synth

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// department is a category of the shop.
type department struct {
	path      string
	prefix    string  // of its article numbers
	articles  int     // how many
	low, high float64 // prices of most articles, in the currency
	demand    float64 // how often it is bought in, against the others
	units     int     // usual quantities are 1 to units; fabric is sold by the half yard
}

var departments = [...]department{
	{"Fabric > Cotton", "fab-cot", 320, 4.2, 9.5, 9, 4},
	{"Fabric > Batik", "fab-bat", 140, 5.5, 11, 4, 3},
	{"Fabric > Flannel", "fab-fla", 80, 4.8, 9, 2, 3},
	{"Fabric > Wide backing", "fab-wid", 40, 9, 19, 1.5, 3},
	{"Fabric > Precuts", "fab-pre", 110, 9.5, 48, 4, 2},
	{"Thread", "thr", 180, 3.5, 15, 5, 3},
	{"Batting", "bat", 28, 14, 75, 2, 1},
	{"Interfacing", "int", 30, 3, 18, 1.2, 2},
	{"Tools > Rotary cutters", "too-rot", 26, 9, 45, 1, 1},
	{"Tools > Rulers", "too-rul", 60, 7, 42, 1.2, 1},
	{"Tools > Needles and pins", "too-nee", 48, 3, 14, 2, 2},
	{"Tools > Scissors", "too-sci", 22, 8, 60, 0.6, 1},
	{"Patterns", "pat", 150, 8, 16, 2.5, 1},
	{"Books", "boo", 45, 15, 36, 0.8, 1},
	{"Kits", "kit", 36, 35, 160, 0.9, 1},
	{"Machine accessories", "mac", 34, 6, 70, 0.6, 1},
}

// article is one thing on the shelf.
type article struct {
	sku   string
	cents int64
}

// catalogue holds the articles of each department by rising price.
type catalogue [len(departments)][]article

func newCatalogue(seed uint64) *catalogue {
	random := rand.New(rand.NewPCG(seed, scatter(1<<62)))
	var c catalogue
	for d := range departments {
		prices := make([]int64, departments[d].articles)
		for i := range prices {
			prices[i] = departments[d].price(random)
		}
		// Numbers are given in no order of price, as articles came in.
		for i, number := range random.Perm(len(prices)) {
			c[d] = append(c[d], article{sku: fmt.Sprintf("%s-%04d", departments[d].prefix, 1001+number), cents: prices[i]})
		}
		slices.SortStableFunc(c[d], func(a, b article) int { return int(a.cents - b.cents) })
	}
	return &c
}

// price is lognormal with nine tenths between low and high, and ends in 5 or 9.
func (d *department) price(random *rand.Rand) int64 {
	middle, width := (math.Log(d.low)+math.Log(d.high))/2, (math.Log(d.high)-math.Log(d.low))/2
	units := math.Exp(middle + width/1.645*random.NormFloat64())
	tenths := int64(math.Round(10 * units))
	if random.IntN(2) == 0 {
		return max(tenths, 10)*10 + 5
	}
	return max(tenths, 10)*10 + 9
}

// A quarter of what is bought are best sellers: every so many articles of a department is one.
const (
	bestSellerShare = 0.25
	bestSellerEvery = 9
)

// pick takes an article of the department whose place among the prices is about level, from 0 to 1.
func (c *catalogue) pick(dept int, level float64, random draw) *article {
	shelf := c[dept]
	i := min(int(reflected(level+0.2*random.NormFloat64())*float64(len(shelf))), len(shelf)-1)
	if random.Float64() < bestSellerShare {
		i -= i % bestSellerEvery
	}
	return &shelf[i]
}
