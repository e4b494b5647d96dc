package model

import "context"

// Edge is an element of a page and where it lies.
type Edge[T any] struct {
	Cursor string
	Node   T
}

// Page is a part of a list.
type Page[T any] struct {
	Edges    []*Edge[T]
	PageInfo *PageInfo
	// Count counts the whole list; it is called only where the number is asked for.
	Count func(context.Context) (int, error)
}

// Nodes gives the elements without their cursors.
func (p *Page[T]) Nodes() []T {
	nodes := make([]T, len(p.Edges))
	for i, e := range p.Edges {
		nodes[i] = e.Node
	}
	return nodes
}

// TotalCount counts the whole list.
func (p *Page[T]) TotalCount(ctx context.Context) (int, error) { return p.Count(ctx) }

// The connections of the schema.
type (
	StoreConnection             = Page[*Store]
	StoreEdge                   = Edge[*Store]
	CustomerConnection          = Page[*Customer]
	CustomerEdge                = Edge[*Customer]
	SnapshotConnection          = Page[*Snapshot]
	SnapshotEdge                = Edge[*Snapshot]
	DriftEventConnection        = Page[*DriftEvent]
	SegmentTransitionConnection = Page[*SegmentTransition]
	SegmentTransitionEdge       = Edge[*SegmentTransition]
	DriftEventEdge              = Edge[*DriftEvent]
	RunConnection               = Page[Run]
	RunEdge                     = Edge[Run]
	AuditEntryConnection        = Page[*AuditEntry]
	AuditEntryEdge              = Edge[*AuditEntry]
)

// SegmentMemberEdge is a member of a segment in a page.
type SegmentMemberEdge struct {
	Cursor     string
	Node       *Customer
	Membership float64
}

// SegmentMemberConnection is a page of a segment's members.
type SegmentMemberConnection struct {
	Edges    []*SegmentMemberEdge
	PageInfo *PageInfo
	Count    func(context.Context) (int, error)
}

// Nodes gives the customers without their cursors.
func (p *SegmentMemberConnection) Nodes() []*Customer {
	nodes := make([]*Customer, len(p.Edges))
	for i, e := range p.Edges {
		nodes[i] = e.Node
	}
	return nodes
}

// TotalCount counts all members.
func (p *SegmentMemberConnection) TotalCount(ctx context.Context) (int, error) { return p.Count(ctx) }
