package resolvers

import (
	"context"

	"github.com/quimbi/quimbi/graph/model"
)

// origin tells how a segment came from the model before; nil in a first model.
func (r *Resolver) origin(ctx context.Context, s *model.Segment) (*model.SegmentGenealogy, error) {
	if s.Segment.Origin == nil {
		return nil, nil
	}
	before, err := r.Models.Get(ctx, s.Store.Store.ID, s.ModelVersion()-1)
	if err != nil {
		return nil, err
	}
	return s.Descent(s.Segment.Origin, before.Model), nil
}

// fate tells what a segment became in the model after; nil while there is none, and where the axis was off there.
func (r *Resolver) fate(ctx context.Context, s *model.Segment) (*model.SegmentGenealogy, error) {
	if s.ModelVersion() >= s.Store.ModelVersion {
		return nil, nil
	}
	after, err := r.Models.Get(ctx, s.Store.Store.ID, s.ModelVersion()+1)
	if err != nil {
		return nil, err
	}
	fates := after.Model.Axes[s.AxisIndex()].Before
	if s.Index() >= len(fates) {
		return nil, nil
	}
	return s.Descent(&fates[s.Index()], after.Model), nil
}
