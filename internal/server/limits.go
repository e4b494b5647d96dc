package server

import (
	"context"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// Limits bound what one operation may ask for. A bound on cost alone would not do: a deep or much aliased document is
// cheap by its list sizes and dear to validate and to walk.
type Limits struct {
	BodyBytes int64
	Tokens    int
	Depth     int
	Aliases   int
	Cost      int
}

// DefaultLimits admit a page of 100 customers with one nested connection of 100 each, and GraphiQL's introspection.
// Validation compares fields with each other: 4,000 tokens of them took 0.75 s, 2,000 a quarter of that.
var DefaultLimits = Limits{BodyBytes: 1 << 20, Tokens: 2000, Depth: 20, Aliases: 100, Cost: 100_000}

// maxFields bounds the walk over fragments that spread each other.
const maxFields = 20_000

// countedPage is the most elements that a page counts for; resolvers refuse larger pages by their own rule.
const countedPage = 100

// costExtension names the cost among an operation's statistics and in the answer's extensions.
const costExtension = "cost"

// limiter measures every operation before it runs.
type limiter struct {
	Limits
	noIntrospection bool
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
	graphql.ResponseInterceptor
} = limiter{}

// ExtensionName is for gqlgen.
func (limiter) ExtensionName() string { return "Limits" }

// Validate is for gqlgen.
func (limiter) Validate(graphql.ExecutableSchema) error { return nil }

// CostReport is extensions.cost.
type CostReport struct {
	Requested int `json:"requested"`
	Limit     int `json:"limit"`
}

// MutateOperationContext refuses operations over a limit.
func (l limiter) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	m := measure{op: op, limits: l.Limits}
	cost := m.selection(op.Operation.SelectionSet, nil, 1)
	report := CostReport{Requested: cost, Limit: l.Cost}
	switch {
	case m.introspects && l.noIntrospection:
		return refusal("FORBIDDEN", "This server does not tell its schema.")
	case m.defers: // gqlgen knows it of itself, and no transport here sends what comes later
		return refusal("BAD_USER_INPUT", "Answers come whole here: leave @defer out.")
	case m.depth > l.Depth:
		return refusal("DEPTH_LIMIT_EXCEEDED", "The operation is nested deeper than "+strconv.Itoa(l.Depth)+" levels.")
	case m.aliases > l.Aliases:
		return refusal("ALIAS_LIMIT_EXCEEDED", "The operation has more than "+strconv.Itoa(l.Aliases)+" aliases.")
	case cost > l.Cost || m.fields > maxFields:
		err := refusal("COST_LIMIT_EXCEEDED", "The operation costs "+strconv.Itoa(cost)+", over the limit of "+strconv.Itoa(l.Cost)+". Ask for smaller pages or fewer nested lists.")
		err.Extensions[costExtension] = report
		return err
	}
	op.Stats.SetExtension(costExtension, report)
	return nil
}

// InterceptResponse adds the cost to the answer.
func (limiter) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	if graphql.HasOperationContext(ctx) {
		op := graphql.GetOperationContext(ctx)
		if report := op.Stats.GetExtension(costExtension); report != nil && op.Operation != nil && op.Operation.Operation != ast.Subscription {
			graphql.RegisterExtension(ctx, costExtension, report)
		}
	}
	return next(ctx)
}

func refusal(code, message string) *gqlerror.Error {
	return &gqlerror.Error{Message: message, Extensions: map[string]any{"code": code}}
}

// measure walks an operation with its fragments in place.
type measure struct {
	op                     *graphql.OperationContext
	limits                 Limits
	depth, aliases, fields int
	introspects, defers    bool
}

// selection gives the cost of a selection; sized are the fields that count several times.
func (m *measure) selection(set ast.SelectionSet, sized map[string]int, depth int) int {
	cost := 0
	for _, selected := range set {
		if m.fields > maxFields || depth > m.limits.Depth {
			m.depth = max(m.depth, depth)
			return cost
		}
		switch s := selected.(type) {
		case *ast.Field:
			cost = saturated(cost + m.field(s, sized, depth))
		case *ast.InlineFragment:
			m.fields++
			m.defers = m.defers || s.Directives.ForName("defer") != nil
			cost = saturated(cost + m.selection(s.SelectionSet, sized, depth))
		case *ast.FragmentSpread:
			m.fields++
			m.defers = m.defers || s.Directives.ForName("defer") != nil
			cost = saturated(cost + m.selection(s.Definition.SelectionSet, sized, depth))
		}
	}
	return cost
}

func (m *measure) field(f *ast.Field, sized map[string]int, depth int) int {
	m.fields++
	m.depth = max(m.depth, depth)
	m.introspects = m.introspects || f.Name == "__schema" || f.Name == "__type"
	if f.Alias != f.Name {
		m.aliases++
	}
	times, below := 1, map[string]int(nil)
	if n, ok := sized[f.Name]; ok {
		times = n
	}
	if f.Definition != nil {
		if d := f.Definition.Directives.ForName("listSize"); d != nil {
			size := m.size(f, d)
			if fields := words(d, "sizedFields"); len(fields) > 0 {
				below = make(map[string]int, len(fields))
				for _, name := range fields {
					below[name] = size
				}
			} else {
				times *= size
			}
		}
	}
	return saturated(times * (m.weight(f) + m.selection(f.SelectionSet, below, depth+1)))
}

// weight is what @cost says, else 1 for an object and 0 for a leaf.
func (m *measure) weight(f *ast.Field) int {
	if f.Definition != nil {
		if d := f.Definition.Directives.ForName("cost"); d != nil {
			if w, err := strconv.Atoi(d.Arguments.ForName("weight").Value.Raw); err == nil {
				return w
			}
		}
	}
	if len(f.SelectionSet) > 0 {
		return 1
	}
	return 0
}

// size is the largest slicing argument, else the assumed size.
func (m *measure) size(f *ast.Field, d *ast.Directive) int {
	size := -1
	given := f.ArgumentMap(m.op.Variables)
	for _, name := range words(d, "slicingArguments") {
		if n, ok := integer(given[name]); ok {
			size = max(size, n)
		}
	}
	if size < 0 {
		size = 1
		if a := d.Arguments.ForName("assumedSize"); a != nil {
			size, _ = strconv.Atoi(a.Value.Raw)
		}
	}
	return min(size, countedPage)
}

func integer(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case int64:
		return int(v), true
	case float64:
		return int(v), true
	case interface{ Int64() (int64, error) }:
		n, err := v.Int64()
		return int(n), err == nil
	}
	return 0, false
}

func words(d *ast.Directive, argument string) []string {
	a := d.Arguments.ForName(argument)
	if a == nil {
		return nil
	}
	list := make([]string, len(a.Value.Children))
	for i, child := range a.Value.Children {
		list[i] = child.Value.Raw
	}
	return list
}

// saturated keeps products of nested pages from overflowing.
func saturated(cost int) int { return min(cost, 1_000_000_000) }
