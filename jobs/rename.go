package jobs

import (
	"context"
	"strings"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/fit"
)

// RenameRequest asks for a name of a segment; nil takes the given name away.
type RenameRequest struct {
	Store        *engine.Store
	ModelVersion int
	Axis         int // in engine.Axes
	Segment      int // in AxisModel.Segments
	Name         *string
}

// RenameSegment gives a segment of the model in force a name by hand. Later models keep it while the segment survives; one that is
// being fitted does not know it. Faults: INVALID, NOT_FOUND.
func (r *Runner) RenameSegment(ctx context.Context, q RenameRequest) error {
	name := ""
	if q.Name != nil {
		name = strings.TrimSpace(*q.Name)
		if name == "" || !plainText(name, maxName) {
			return invalidAt("name", "a segment's name has 1 to %d characters and stands on one line", maxName)
		}
	}
	newest, err := r.db.NewestModelVersion(ctx, q.Store.ID)
	if err != nil {
		return err
	}
	if newest != q.ModelVersion {
		return invalidAt("segmentId", "the segment is one of model %d, and model %d is in force: rename the segment of that one with the same key", q.ModelVersion, newest)
	}
	return r.db.RenameInModel(ctx, q.Store.ID, q.ModelVersion, func(m *engine.Model) error {
		return fit.Rename(m, q.Axis, q.Segment, name)
	})
}
