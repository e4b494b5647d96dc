package model

import "github.com/quimbi/quimbi/engine"

// SegmentGenealogy is how a segment relates to those of a neighbouring model.
type SegmentGenealogy struct {
	Kind  engine.GenealogyKind
	Links []*SegmentLink
}

// SegmentLink is a segment of a neighbouring model that shares members.
type SegmentLink struct {
	Segment                 *Segment
	Overlap, ReverseOverlap float64
}

// Descent shows a genealogy whose links lead to segments of the same axis of a neighbouring model.
func (s *Segment) Descent(g *engine.Genealogy, neighbour *engine.Model) *SegmentGenealogy {
	view := &SegmentGenealogy{Kind: g.Kind, Links: make([]*SegmentLink, len(g.Links))}
	for i, l := range g.Links {
		view.Links[i] = &SegmentLink{
			Segment: NewSegment(s.Store, neighbour, s.axis, l.Segment), Overlap: l.Overlap, ReverseOverlap: l.Reverse,
		}
	}
	return view
}
