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
	lines  float64 // an order
	bulk   int     // quantities are multiplied by 1 to bulk
	repeat float64 // probability that a line is an article bought before
}

// Rates lie a factor of five apart and vary by about a third within an archetype, so that the archetypes can be told apart
// after some months, and not after the first weeks.
var archetypes = [...]archetype{
	{name: OneTime, share: 0.53, monthly: 0, spread: 1, lines: 1.5, bulk: 1},
	{name: Occasional, share: 0.26, monthly: 0.28, spread: 14, lines: 2.2, bulk: 1, repeat: 0.15},
	{name: ActiveHobbyist, share: 0.15, monthly: 1.25, spread: 14, lines: 3.2, bulk: 2, repeat: 0.25},
	{name: SuperEngaged, share: 0.06, monthly: 6, spread: 14, lines: 4.2, bulk: 3, repeat: 0.35},
}

var enterprise = archetype{name: Enterprise, monthly: 30, spread: 16, lines: 11, bulk: 12, repeat: 0.6}

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
