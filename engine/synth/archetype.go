package synth

import "math/rand/v2"

// The archetypes.
const (
	OneTime        = "one_time"
	Occasional     = "occasional"
	ActiveHobbyist = "active_hobbyist"
	SuperEngaged   = "super_engaged"
	Enterprise     = "enterprise"
)

const daysPerMonth = 30.4375

// archetype is how a kind of customer buys, on average.
type archetype struct {
	name    string
	share   float64 // of the customers that are no enterprises
	monthly float64 // orders
	// spread is the shape of the gamma distribution of the customers' own rates around monthly: the coefficient of
	// variation is 1/sqrt(spread).
	spread float64
	budget float64 // what an order may cost, in the currency
	lines  float64 // an order
	bulk   int     // the most units of a line are those usual in the department times this
	repeat float64 // probability that a line is an article bought before
}

// Rates lie a factor of five apart and vary by about a fifth within an archetype, and what an order may cost a factor of
// three: one tries the shop or buys a present, sews a thing now and then, sews all year, or sews to sell. Real customers are
// less easily told apart; docs/adr/0012-a-shop-told-apart.md says what of it is planted on purpose, and what that is worth.
var archetypes = [...]archetype{
	{name: OneTime, share: 0.47, monthly: 0, spread: 1, budget: 16, lines: 1.5, bulk: 1},
	{name: Occasional, share: 0.30, monthly: 0.3, spread: 30, budget: 54, lines: 2.2, bulk: 1, repeat: 0.15},
	{name: ActiveHobbyist, share: 0.165, monthly: 1.8, spread: 30, budget: 155, lines: 2.8, bulk: 2, repeat: 0.25},
	{name: SuperEngaged, share: 0.065, monthly: 8, spread: 30, budget: 390, lines: 3.4, bulk: 5, repeat: 0.35},
}

var enterprise = archetype{name: Enterprise, monthly: 30, spread: 16, budget: 2000, lines: 11, bulk: 12, repeat: 0.6}

// pickArchetype turns a uniform number from [0, 1) into an archetype.
func pickArchetype(u float64) *archetype {
	for i := range archetypes {
		if u -= archetypes[i].share; u < 0 {
			return &archetypes[i]
		}
	}
	return &archetypes[len(archetypes)-1]
}

// sparse says which customers are enterprises: one in each block, and block j holds the places from 200 j^2 up to
// 200 (j+1)^2. So their number grows with the root of the shop, from 4 or 5 in 4000 to 70 in a million, and where they
// are does not depend on how many customers there are.
type sparse struct {
	random *rand.Rand
	block  int
	place  int
}

const enterpriseBlock = 200

func newSparse(seed uint64) *sparse {
	s := &sparse{random: rand.New(rand.NewPCG(seed, scatter(1<<63)))}
	s.place = s.random.IntN(enterpriseBlock)
	return s
}

// has must be asked for every place in turn.
func (s *sparse) has(i int) bool {
	if i == enterpriseBlock*(s.block+1)*(s.block+1) {
		s.block++
		s.place = i + s.random.IntN(enterpriseBlock*(2*s.block+1))
	}
	return i == s.place
}
