package direct_test

import (
	"bytes"
	"context"
	"math"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/quimbi/quimbi/graph/direct"
)

type thing struct {
	name  string
	size  float64
	count int
	parts []*thing
	whole *thing
}

func things() *direct.Object[thing] {
	o := &direct.Object[thing]{Type: "Thing", Interfaces: []string{"Named"}, Fields: map[string]direct.Field[*thing]{
		"name":  direct.Write(func(t *thing) string { return t.name }, (*direct.Writer).Text),
		"size":  direct.Write(func(t *thing) float64 { return t.size }, (*direct.Writer).Float),
		"count": direct.Write(func(t *thing) int { return t.count }, (*direct.Writer).Int),
	}}
	o.Fields["parts"] = direct.Many(func(t *thing) []*thing { return t.parts }, o)
	o.Fields["whole"] = direct.One(func(_ *direct.Writer, t *thing) *thing { return t.whole }, true, o)
	o.Fields["owner"] = direct.One(func(_ *direct.Writer, t *thing) *thing { return t.whole }, false, o)
	return o
}

// answer is what is written for { thing <selected> }; false where it is left to gqlgen.
func answer(t *testing.T, selected string, variables map[string]any, v *thing) (string, bool) {
	t.Helper()
	doc, err := parser.ParseQuery(&ast.Source{Input: "query ($no: Boolean) { thing " + selected + " } fragment F on Thing { name count }"})
	if err != nil {
		t.Fatal(err)
	}
	op := &graphql.OperationContext{Doc: doc, Operation: doc.Operations[0], Variables: variables}
	ctx := graphql.WithOperationContext(context.Background(), op)
	root := graphql.CollectFields(op, op.Operation.SelectionSet, []string{"Query"})[0]
	ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{Object: "Query", Field: root})
	written, ok := things().Answer(ctx, v)
	if !ok {
		return "", false
	}
	var b bytes.Buffer
	written.(graphql.Marshaler).MarshalGQL(&b)
	return b.String(), true
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	part := &thing{name: "part", size: 1e-7, count: -3}
	whole := &thing{name: "a \"whole\"\n\u2028é", size: 0.5, count: 2, parts: []*thing{part, {name: "other"}}, whole: part}
	for _, c := range []struct{ selected, want string }{
		{`{ name size count }`, `{"name":"a \"whole\"\n` + "\u2028" + `é","size":0.5,"count":2}`},
		{`{ n: count count }`, `{"n":2,"count":2}`},
		{`{ parts { name size } }`, `{"parts":[{"name":"part","size":1e-07},{"name":"other","size":0}]}`},
		{`{ whole { count whole { count } parts { name } } }`, `{"whole":{"count":-3,"whole":null,"parts":[]}}`},
		{`{ ...F ... on Named { name } __typename }`, `{"name":"a \"whole\"\n` + "\u2028" + `é","count":2,"__typename":"Thing"}`},
		{`{ whole { name } ...F whole { count } }`, `{"whole":{"name":"part","count":-3},"name":"a \"whole\"\n` + "\u2028" + `é","count":2}`},
		{`{ count name @skip(if: $no) size @include(if: $no) }`, `{"count":2,"size":0.5}`},
	} {
		if got, ok := answer(t, c.selected, map[string]any{"no": true}, whole); got != c.want || !ok {
			t.Errorf("%s: %s, %v; want %s", c.selected, got, ok, c.want)
		}
	}
}

// What cannot be written, or would be a fault, is left to gqlgen.
func TestLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		selected string
		of       *thing
	}{
		{`{ name slow }`, &thing{}},
		{`{ parts { slow } }`, &thing{}},
		{`{ owner { name } }`, &thing{}},
		{`{ size }`, &thing{size: math.NaN()}},
		{`{ parts { size } }`, &thing{parts: []*thing{{size: math.Inf(-1)}}}},
		{`{ name ... @defer { count } }`, &thing{}},
		{`{ name }`, nil},
	} {
		if got, ok := answer(t, c.selected, nil, c.of); ok {
			t.Errorf("%s is written: %s", c.selected, got)
		}
	}
}
