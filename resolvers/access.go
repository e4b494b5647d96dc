package resolvers

import (
	"context"
	"slices"

	"github.com/99designs/gqlgen/graphql"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/postgres"
)

// RequireRole is the directive @requiresRole. Every mutation has it, so it also notes what was asked for.
func (r *Resolver) RequireRole(ctx context.Context, _ any, next graphql.Resolver, role model.Role) (any, error) {
	if field := graphql.GetFieldContext(ctx); field.Object == "Mutation" {
		return r.audited(ctx, field.Field.Name, func(ctx context.Context) (any, error) { return allowed(ctx, next, role) })
	}
	return allowed(ctx, next, role)
}

func allowed(ctx context.Context, next graphql.Resolver, role model.Role) (any, error) {
	needed, err := auth.ParseRole(string(role))
	if err != nil {
		return nil, err
	}
	if !auth.From(ctx).May(needed) {
		return nil, engine.Errorf(engine.CodeForbidden, "this needs the role %s", role)
	}
	return next(ctx)
}

// The fence: whatever belongs to a store is reached by way of the store, and stores that the caller does not see are not there.

// seen leaves the stores that the caller sees.
func seen(ctx context.Context, views []*postgres.StoreView) []*postgres.StoreView {
	caller := auth.From(ctx)
	return slices.DeleteFunc(views, func(s *postgres.StoreView) bool { return !caller.Sees(s.ID) })
}

// storeViews gives all stores that the caller sees, by key.
func (r *Resolver) storeViews(ctx context.Context) ([]*postgres.StoreView, error) {
	views, err := r.DB.StoreViews(ctx)
	return seen(ctx, views), err
}

// cleaned gives the store that a cleanup is for, nil for all. Whoever does not see all has to name one. Faults: NOT_FOUND, INVALID.
func (r *Resolver) cleaned(ctx context.Context, key *string) (*engine.Store, error) {
	if key == nil {
		if !auth.From(ctx).AllStores() {
			return nil, engine.Errorf(engine.CodeInvalid, "name the store: cleaning up all of them is for those who see all").At("input", "storeId")
		}
		return nil, nil
	}
	store, err := r.storeByKey(ctx, *key)
	if err != nil {
		return nil, at(err, "input", "storeId")
	}
	return &store.Store, nil
}
