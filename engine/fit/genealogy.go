package fit

import (
	"slices"
	"strconv"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/assign"
)

const (
	survivingOverlap = 0.5
	splitPart        = 0.25
	splitTogether    = 0.5
	mergedOverlap    = 0.5
)

// identify gives every segment its key and its name. Those that survive keep both; origin and fate of the others are told.
func identify(m *engine.Model, previous *engine.Model, overlaps *[engine.AxisCount]leafOverlap) {
	if previous != nil {
		m.Keys = previous.Keys
	}
	for i := range m.Axes {
		a := &m.Axes[i]
		var survivors map[int]*engine.Segment
		if previous != nil && overlaps[i] != nil {
			survivors = descend(a, &previous.Axes[i], overlaps[i])
		}
		for j := range a.Segments {
			if old := survivors[j]; old != nil {
				a.Segments[j].Key = old.Key
				continue
			}
			m.Keys++
			a.Segments[j].Key = "s" + strconv.Itoa(m.Keys)
		}
		nameSegments(a, &engine.Axes[i], nil, survivors)
	}
}

// leafOverlap counts customers by their leaf before (row) and now (column).
type leafOverlap [][]int

// descend fills in the origins of an axis's segments and the fates of those before, and gives the old segment of each survivor.
func descend(a *engine.AxisModel, old *engine.AxisModel, leaves leafOverlap) map[int]*engine.Segment {
	survivors := map[int]*engine.Segment{}
	a.Before = make([]engine.Genealogy, len(old.Segments))
	for depth := 0; ; depth++ {
		rows, columns := atDepth(old, depth), atDepth(a, depth)
		if len(rows) == 0 && len(columns) == 0 {
			return survivors
		}
		k := kinship{rows: rows, columns: columns, shared: leaves.between(old, rows, a, columns)}
		k.measure()
		for p, q := range k.pair() {
			if q >= 0 {
				survivors[columns[q]] = &old.Segments[rows[p]]
			}
		}
		for p, i := range rows {
			a.Before[i] = k.fate(p)
		}
		for q, j := range columns {
			origin := k.origin(q)
			a.Segments[j].Origin = &origin
		}
	}
}

// atDepth lists the segments at a depth of the tree.
func atDepth(a *engine.AxisModel, depth int) []int {
	var found []int
	for i := range a.Segments {
		if a.Segments[i].Depth == depth {
			found = append(found, i)
		}
	}
	return found
}

// between adds the leaves up to the segments above them.
func (l leafOverlap) between(old *engine.AxisModel, rows []int, a *engine.AxisModel, columns []int) [][]int {
	shared := make([][]int, len(rows))
	for p, i := range rows {
		shared[p] = make([]int, len(columns))
		first, last := old.LeafRange(i)
		for q, j := range columns {
			from, to := a.LeafRange(j)
			for _, row := range l[first : last+1] {
				for _, customers := range row[from : to+1] {
					shared[p][q] += customers
				}
			}
		}
	}
	return shared
}

// kinship is the comparison of the segments of one depth.
type kinship struct {
	rows, columns []int   // indices of the segments in their models
	shared        [][]int // customers in both
	forth, back   [][]float64
	partner       []int // of each row, the column that it survives as; -1 for none
}

// measure works out the overlaps. Customers of a segment who are in none of the other side's at this depth count in neither.
func (k *kinship) measure() {
	before, now := make([]int, len(k.rows)), make([]int, len(k.columns))
	for p, row := range k.shared {
		for q, n := range row {
			before[p] += n
			now[q] += n
		}
	}
	k.forth, k.back = make([][]float64, len(k.rows)), make([][]float64, len(k.rows))
	for p, row := range k.shared {
		k.forth[p], k.back[p] = make([]float64, len(row)), make([]float64, len(row))
		for q, n := range row {
			if n > 0 {
				k.forth[p][q], k.back[p][q] = float64(n)/float64(before[p]), float64(n)/float64(now[q])
			}
		}
	}
}

// pair gives for each row the column that it survives as, at the largest sum of overlaps; -1 for none.
func (k *kinship) pair() []int {
	cost := make([]float64, 0, len(k.rows)*len(k.columns))
	for p := range k.rows {
		for q := range k.columns {
			cost = append(cost, -k.forth[p][q]-k.back[p][q])
		}
	}
	partner, err := assign.Min(cost, len(k.rows), len(k.columns))
	if err != nil {
		panic(err) // shares of customers are finite
	}
	for p, q := range partner {
		if q >= 0 && (k.forth[p][q] < survivingOverlap || k.back[p][q] < survivingOverlap) {
			partner[p] = -1
		}
	}
	k.partner = partner
	return partner
}

// fate is what became of a row.
func (k *kinship) fate(p int) engine.Genealogy {
	if q := k.partner[p]; q >= 0 {
		return engine.Genealogy{Kind: engine.SegmentSurvived, Links: []engine.SegmentLink{k.ahead(p, q)}}
	}
	if parts := k.parts(p); parts != nil {
		return k.sorted(engine.SegmentSplit, parts, func(q int) engine.SegmentLink { return k.ahead(p, q) })
	}
	for q := range k.columns {
		if k.forth[p][q] >= mergedOverlap && len(k.sources(q)) > 1 {
			return engine.Genealogy{Kind: engine.SegmentMerged, Links: []engine.SegmentLink{k.ahead(p, q)}}
		}
	}
	return engine.Genealogy{Kind: engine.SegmentGone}
}

// origin is where a column comes from.
func (k *kinship) origin(q int) engine.Genealogy {
	if p := slices.Index(k.partner, q); p >= 0 {
		return engine.Genealogy{Kind: engine.SegmentSurvived, Links: []engine.SegmentLink{k.behind(p, q)}}
	}
	if sources := k.sources(q); len(sources) > 1 {
		return k.sorted(engine.SegmentMerged, sources, func(p int) engine.SegmentLink { return k.behind(p, q) })
	}
	for p := range k.rows {
		if k.partner[p] < 0 && slices.Contains(k.parts(p), q) {
			return engine.Genealogy{Kind: engine.SegmentSplit, Links: []engine.SegmentLink{k.behind(p, q)}}
		}
	}
	return engine.Genealogy{Kind: engine.SegmentNew}
}

// parts are the columns that a row was split into; nil if it was not.
func (k *kinship) parts(p int) []int {
	var parts []int
	together := 0.0
	for q, share := range k.forth[p] {
		if share >= splitPart {
			parts = append(parts, q)
			together += share
		}
	}
	if len(parts) < 2 || together < splitTogether {
		return nil
	}
	return parts
}

// sources are the rows of which a column holds at least half.
func (k *kinship) sources(q int) []int {
	var sources []int
	for p := range k.rows {
		if k.forth[p][q] >= mergedOverlap {
			sources = append(sources, p)
		}
	}
	return sources
}

func (k *kinship) ahead(p, q int) engine.SegmentLink {
	return engine.SegmentLink{Segment: k.columns[q], Overlap: k.forth[p][q], Reverse: k.back[p][q]}
}

func (k *kinship) behind(p, q int) engine.SegmentLink {
	return engine.SegmentLink{Segment: k.rows[p], Overlap: k.back[p][q], Reverse: k.forth[p][q]}
}

func (k *kinship) sorted(kind engine.GenealogyKind, others []int, link func(int) engine.SegmentLink) engine.Genealogy {
	g := engine.Genealogy{Kind: kind}
	for _, other := range others {
		g.Links = append(g.Links, link(other))
	}
	slices.SortStableFunc(g.Links, func(a, b engine.SegmentLink) int {
		switch {
		case a.Overlap > b.Overlap:
			return -1
		case a.Overlap < b.Overlap:
			return 1
		default:
			return 0
		}
	})
	return g
}
