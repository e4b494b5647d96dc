package engine

import (
	"slices"
	"strconv"

	"github.com/quimbi/quimbi/engine/assign"
)

// GenealogyKind says what happened to a segment from one model of a store to the next, by the customers who belong to it
// (after MONIC: Spiliopoulou, Ntoutsi, Theodoridis and Schult 2006, KDD). O(p, q) is the share of the customers of p who are in q.
type GenealogyKind string

// The kinds.
const (
	SegmentSurvived GenealogyKind = "SURVIVED" // paired with one of the other model, and O is at least 0.5 both ways
	SegmentSplit    GenealogyKind = "SPLIT"    // at least two of the new ones hold 0.25 of the old one each, and 0.5 together
	SegmentMerged   GenealogyKind = "MERGED"   // one new segment holds 0.5 of each of several old ones
	SegmentNew      GenealogyKind = "NEW"      // no old segment leads here
	SegmentGone     GenealogyKind = "GONE"     // no new segment goes on from it
)

const (
	survivingOverlap = 0.5
	splitPart        = 0.25
	splitTogether    = 0.5
	mergedOverlap    = 0.5
)

// Genealogy is how a segment relates to those of the model before, or of the one after. Segments are compared with those of the
// same depth, over the customers who have a place on the axis under both models.
type Genealogy struct {
	Kind GenealogyKind `json:"kind"`
	// Links are the segments that it survived as, was split into, was merged into or came from, largest overlap first.
	Links []SegmentLink `json:"links,omitempty"`
}

// SegmentLink is a segment of a neighbouring model that shares customers.
type SegmentLink struct {
	Segment int     `json:"segment"` // index in AxisModel.Segments of the other model
	Overlap float64 `json:"overlap"` // the share of this segment's customers who are there too
	Reverse float64 `json:"reverse"` // the share of that segment's customers who are here too
}

// identify gives every segment its key and its name. Those that survive keep both; origin and fate of the others are told.
func (m *Model) identify(previous *Model, overlaps *[AxisCount]leafOverlap) {
	if previous != nil {
		m.Keys = previous.Keys
	}
	for i := range m.Axes {
		a := &m.Axes[i]
		var survivors map[int]*Segment
		if previous != nil && overlaps[i] != nil {
			survivors = a.descend(&previous.Axes[i], overlaps[i])
		}
		for j := range a.Segments {
			if old := survivors[j]; old != nil {
				a.Segments[j].Key = old.Key
				continue
			}
			m.Keys++
			a.Segments[j].Key = "s" + strconv.Itoa(m.Keys)
		}
		a.nameSegments(&Axes[i], nil, survivors)
	}
}

// leafOverlap counts customers by their leaf before (row) and now (column).
type leafOverlap [][]int

// descend fills in the origins of an axis's segments and the fates of those before, and gives the old segment of each survivor.
func (a *AxisModel) descend(old *AxisModel, leaves leafOverlap) map[int]*Segment {
	survivors := map[int]*Segment{}
	a.Before = make([]Genealogy, len(old.Segments))
	for depth := 0; ; depth++ {
		rows, columns := old.atDepth(depth), a.atDepth(depth)
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
func (a *AxisModel) atDepth(depth int) []int {
	var found []int
	for i := range a.Segments {
		if a.Segments[i].Depth == depth {
			found = append(found, i)
		}
	}
	return found
}

// between adds the leaves up to the segments above them.
func (l leafOverlap) between(old *AxisModel, rows []int, a *AxisModel, columns []int) [][]int {
	shared := make([][]int, len(rows))
	for p, i := range rows {
		shared[p] = make([]int, len(columns))
		first, last := old.leafRange(i)
		for q, j := range columns {
			from, to := a.leafRange(j)
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
func (k *kinship) fate(p int) Genealogy {
	if q := k.partner[p]; q >= 0 {
		return Genealogy{SegmentSurvived, []SegmentLink{k.ahead(p, q)}}
	}
	if parts := k.parts(p); parts != nil {
		return k.sorted(SegmentSplit, parts, func(q int) SegmentLink { return k.ahead(p, q) })
	}
	for q := range k.columns {
		if k.forth[p][q] >= mergedOverlap && len(k.sources(q)) > 1 {
			return Genealogy{SegmentMerged, []SegmentLink{k.ahead(p, q)}}
		}
	}
	return Genealogy{Kind: SegmentGone}
}

// origin is where a column comes from.
func (k *kinship) origin(q int) Genealogy {
	if p := slices.Index(k.partner, q); p >= 0 {
		return Genealogy{SegmentSurvived, []SegmentLink{k.behind(p, q)}}
	}
	if sources := k.sources(q); len(sources) > 1 {
		return k.sorted(SegmentMerged, sources, func(p int) SegmentLink { return k.behind(p, q) })
	}
	for p := range k.rows {
		if k.partner[p] < 0 && slices.Contains(k.parts(p), q) {
			return Genealogy{SegmentSplit, []SegmentLink{k.behind(p, q)}}
		}
	}
	return Genealogy{Kind: SegmentNew}
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

func (k *kinship) ahead(p, q int) SegmentLink {
	return SegmentLink{Segment: k.columns[q], Overlap: k.forth[p][q], Reverse: k.back[p][q]}
}

func (k *kinship) behind(p, q int) SegmentLink {
	return SegmentLink{Segment: k.rows[p], Overlap: k.back[p][q], Reverse: k.forth[p][q]}
}

func (k *kinship) sorted(kind GenealogyKind, others []int, link func(int) SegmentLink) Genealogy {
	g := Genealogy{Kind: kind}
	for _, other := range others {
		g.Links = append(g.Links, link(other))
	}
	slices.SortStableFunc(g.Links, func(a, b SegmentLink) int {
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
