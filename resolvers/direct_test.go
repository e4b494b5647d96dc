package resolvers

import (
	"context"
	"os"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/quimbi/quimbi/graph"
	"github.com/quimbi/quimbi/graph/model"
)

// The dashboard's queries that are compared with others are written directly.
func TestDirectOfTheBench(t *testing.T) {
	t.Parallel()
	schema := graph.NewExecutableSchema(graph.Config{}).Schema()
	middleware := (&Resolver{}).Direct()
	for use, c := range map[string]struct {
		field string
		value any
	}{
		"customers": {"customers", &model.CustomerConnection{}},
		"timeline":  {"timeline", &model.Timeline{Series: &model.Series{}}},
		"tree":      {"rootSegments", []*model.Segment{}},
	} {
		document, err := os.ReadFile("../docs/bench/api/queries/quimbi-" + use + ".graphql")
		if err != nil {
			t.Fatal(err)
		}
		doc, errs := gqlparser.LoadQueryWithRules(schema, string(document), rules.NewDefaultRules())
		if errs != nil {
			t.Fatal(errs)
		}
		op := &graphql.OperationContext{Doc: doc, Operation: doc.Operations[0]}
		field := fieldNamed(doc.Operations[0].SelectionSet, c.field)
		ctx := graphql.WithOperationContext(context.Background(), op)
		ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{Field: graphql.CollectedField{Field: field, Selections: field.SelectionSet}})
		got, err := middleware(ctx, func(context.Context) (any, error) { return c.value, nil })
		if _, ok := got.(graphql.Marshaler); !ok || err != nil {
			t.Errorf("%s is left to gqlgen: %T, %v", use, got, err)
		}
	}
}

func fieldNamed(set ast.SelectionSet, name string) *ast.Field {
	for _, selected := range set {
		f, ok := selected.(*ast.Field)
		if !ok {
			continue
		}
		if f.Name == name {
			return f
		}
		if found := fieldNamed(f.SelectionSet, name); found != nil {
			return found
		}
	}
	return nil
}
