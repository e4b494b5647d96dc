package resolvers

import (
	"context"

	"github.com/quimbi/quimbi/graph/model"
)

func (r *Resolver) customerRiskLevel(ctx context.Context, c *model.Customer) (*float64, error) {
	state, m, err := r.state(ctx, c, false)
	if err != nil || state == nil {
		return nil, err
	}
	return model.RiskLevel(m, state.Thumbprint), nil
}

func (r *Resolver) snapshotRiskLevel(ctx context.Context, s *model.Snapshot) (*float64, error) {
	m, err := r.version(ctx, s.Customer.Store, &s.ModelVersion)
	return model.RiskLevel(m, s.Snapshot.Thumbprint), err
}

// fromBaseline reads the customer's own past that the later level is compared with.
func (r *Resolver) fromBaseline(ctx context.Context, s *model.RiskShift) (*float64, error) {
	if s.After == nil {
		return nil, nil
	}
	earlier, err := r.series(ctx, s.Series.Customer, s.Baseline(), s.Series.Type, 0, s.AsOf)
	if err != nil {
		return nil, err
	}
	return s.FromBaseline(earlier), nil
}
