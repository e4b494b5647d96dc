package resolvers

import (
	"context"

	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/jobs"
)

func (r *Resolver) renameSegment(ctx context.Context, in model.RenameSegmentInput) (*model.RenameSegmentPayload, error) {
	payload := &model.RenameSegmentPayload{}
	id, err := idOf(in.SegmentID, model.KindSegment)
	var segment *model.Segment
	if err == nil {
		segment, err = r.segment(ctx, id)
	}
	if err != nil {
		payload.UserErrors, err = r.userErrors(ctx, at(err, "input", "segmentId"), short(in.SegmentID))
		return payload, err
	}
	err = r.Jobs.RenameSegment(ctx, jobs.RenameRequest{
		Store: &segment.Store.Store, ModelVersion: id.Version, Axis: segment.AxisIndex(), Segment: segment.Index(), Name: in.Name,
	})
	if payload.UserErrors, err = r.userErrors(ctx, err, short(in.SegmentID)); err != nil || len(payload.UserErrors) > 0 {
		return payload, err
	}
	r.Models.forget() // this process need not wait for the notification
	payload.Segment, err = r.segment(ctx, id)
	return payload, err
}
