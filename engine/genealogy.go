package engine

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
