package resolvers

import (
	"context"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
)

// explained tells whether something is selected at or below the present field that is worked out from features: they are read
// only then.
func explained(ctx context.Context) bool {
	field := graphql.GetFieldContext(ctx)
	return field != nil && selects(field.Field.Selections, map[string]bool{}, "outlier", "reasons", "causes")
}

// selects tells whether a field with one of these names is selected anywhere in a selection. It goes through each fragment once.
func selects(set ast.SelectionSet, seen map[string]bool, names ...string) bool {
	for _, selected := range set {
		var below ast.SelectionSet
		switch s := selected.(type) {
		case *ast.Field:
			if slices.Contains(names, s.Name) {
				return true
			}
			below = s.SelectionSet
		case *ast.InlineFragment:
			below = s.SelectionSet
		case *ast.FragmentSpread:
			if seen[s.Name] || s.Definition == nil {
				continue
			}
			seen[s.Name] = true
			below = s.Definition.SelectionSet
		}
		if selects(below, seen, names...) {
			return true
		}
	}
	return false
}

// persona gives the segments that hold a customer strongly on several axes; nil where there is none.
func (r *Resolver) persona(ctx context.Context, c *model.Customer, level engine.Level) (*model.Persona, error) {
	state, m, err := r.state(ctx, c, false)
	if err != nil || state == nil {
		return nil, err
	}
	return model.NewPersona(c.Store, m, state.Thumbprint, level), nil
}

// pathTo gives what would make a segment dominant for a customer; nil where the customer stands nowhere yet.
func (r *Resolver) pathTo(ctx context.Context, c *model.Customer, segmentID string) (*model.Counterfactual, error) {
	id, err := idOf(segmentID, model.KindSegment)
	if err != nil {
		return nil, err
	}
	segment, err := r.segment(ctx, id)
	if err != nil {
		return nil, err
	}
	if segment.Store.Key != c.Store.Key {
		return nil, engine.Errorf(engine.CodeInvalid, "the segment is of another store than the customer")
	}
	state, m, err := r.state(ctx, c, true)
	if err != nil || state == nil {
		return nil, err
	}
	if segment.Model.Version != m.Version {
		return nil, engine.Errorf(engine.CodeInvalid, "the segment is of model %d, and the customer stands under model %d: name one of that", segment.Model.Version, m.Version)
	}
	return model.NewCounterfactual(segment, state.Thumbprint, state.Features)
}
