package hierarchy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/quimbi/quimbi/engine/fcm"
	"github.com/quimbi/quimbi/engine/kselect"
)

const (
	maxChildren   = 6
	minChildSize  = 20
	minChildShare = 50   // one in 50: 2 % of the population
	minFall       = 0.15 // of the sum of squares

	divideStream = 0x68696572617263
)

// divide finds the children of a node, largest first and with center, members and size filled in; nil where no
// division passes.
func (g *grower) divide(ctx context.Context, node *Node) ([]Node, error) {
	kMax := min(maxChildren, len(node.Members)/minChildSize, len(node.Members)/g.leastChild())
	if kMax < 2 {
		return nil, nil
	}
	all := g.gather(node.Members, len(node.Members))
	sample := all
	if g.options.SweepSample > 0 && g.options.SweepSample < len(node.Members) {
		random := rand.New(rand.NewPCG(g.options.FCM.Seed, divideStream))
		sample = g.gather(choose(random, node.Members, g.options.SweepSample), len(node.Members))
	}
	passed, err := g.sweep(ctx, sample, kMax)
	if err != nil {
		return nil, err
	}
	for _, division := range passed {
		if sample != all {
			division, err = all.divideFrom(ctx, division)
			if err != nil {
				return nil, err
			}
			if !g.useful(division) {
				continue
			}
		}
		return g.children(division), nil
	}
	return nil, nil
}

// part is the rows of a segment, or a sample of them, as a matrix of their own.
type part struct {
	members   []int32
	standsFor int // number of the segment's members
	x         []float64
	d         int
	fcm       fcm.Options
}

// division is a fit to a part.
type division struct {
	*part
	fit   *fcm.Result
	score float64
}

func (g *grower) gather(members []int32, standsFor int) *part {
	x := make([]float64, 0, len(members)*g.d)
	for _, i := range members {
		x = append(x, g.row(i)...)
	}
	return &part{members: members, standsFor: standsFor, x: x, d: g.d, fcm: g.options.FCM}
}

func (p *part) divide(ctx context.Context, k int) (division, error) {
	fit, err := fcm.Fit(ctx, p.x, len(p.members), p.d, k, p.fcm)
	if err != nil {
		return division{}, fmt.Errorf("fitting %d children: %w", k, err)
	}
	return division{part: p, fit: fit}, nil
}

// divideFrom continues another part's fit on the rows of this one.
func (p *part) divideFrom(ctx context.Context, from division) (division, error) {
	continued := *p
	continued.fcm.Init = from.fit.Centers
	return continued.divide(ctx, from.fit.K)
}

// sweep returns the divisions that pass, the best score first and the smaller k where scores are equal.
func (g *grower) sweep(ctx context.Context, p *part, kMax int) ([]division, error) {
	var passed []division
	var labelings []kselect.Labeling
	for k := 2; k <= kMax; k++ {
		division, err := p.divide(ctx, k)
		if err != nil {
			return nil, err
		}
		if g.useful(division) {
			passed = append(passed, division)
			labelings = append(labelings, kselect.Labeling{Labels: division.fit.Labels, K: k})
		}
	}
	silhouettes, err := kselect.Silhouettes(ctx, p.x, len(p.members), p.d, labelings, g.options.Silhouette)
	if err != nil {
		return nil, fmt.Errorf("measuring how far children lie apart: %w", err)
	}
	balance := kselect.Balance
	if g.options.Normalized {
		balance = kselect.NormalizedBalance
	}
	for i := range passed {
		passed[i].score = kselect.Score(silhouettes[i].Mean, balance(passed[i].fit.Sizes))
	}
	slices.SortStableFunc(passed, func(a, b division) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	return passed, nil
}

// leastChild is the least number of members that makes a child useful.
func (g *grower) leastChild() int {
	return max(minChildSize, (g.options.Population+minChildShare-1)/minChildShare)
}

// useful tests the size of the children and the fall of the sum of squares. The sizes of a sample's children stand for
// proportionally larger ones.
func (g *grower) useful(d division) bool {
	if d.fit.Coincident {
		return false
	}
	for _, size := range d.fit.Sizes {
		if float64(size)*float64(d.standsFor) < float64(g.leastChild())*float64(len(d.members)) {
			return false
		}
	}
	before, after := g.sumOfSquares(d.members), 0.0
	for _, members := range d.groups() {
		after += g.sumOfSquares(members)
	}
	return before > 0 && before-after >= minFall*before
}

// groups are the members of each child, ascending as they are in the part.
func (d division) groups() [][]int32 {
	groups := make([][]int32, d.fit.K)
	for c, size := range d.fit.Sizes {
		groups[c] = make([]int32, 0, size)
	}
	for at, label := range d.fit.Labels {
		groups[label] = append(groups[label], d.members[at])
	}
	return groups
}

// children are the nodes of a division, the largest first.
func (g *grower) children(d division) []Node {
	nodes := make([]Node, d.fit.K)
	for c, members := range d.groups() {
		nodes[c] = Node{
			Center:  slices.Clone(d.fit.Centers[c*g.d : (c+1)*g.d]),
			Members: members,
			Size:    len(members),
		}
	}
	slices.SortStableFunc(nodes, func(a, b Node) int { return b.Size - a.Size })
	return nodes
}

// choose draws m of the members without repetition and keeps their order (Knuth, volume 2, algorithm 3.4.2S).
func choose(random *rand.Rand, members []int32, m int) []int32 {
	chosen := make([]int32, 0, m)
	for at, i := range members {
		if random.IntN(len(members)-at) < m-len(chosen) {
			chosen = append(chosen, i)
		}
	}
	return chosen
}
