package server

import (
	"context"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// oneOf holds the values of variables to @oneOf; gqlgen looks at literals only.
type oneOf struct{ schema *ast.Schema }

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
} = oneOf{}

// ExtensionName is for gqlgen.
func (oneOf) ExtensionName() string { return "OneOf" }

// Validate is for gqlgen.
func (oneOf) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses operations.
func (o oneOf) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	for _, variable := range op.Operation.VariableDefinitions {
		if err := o.check("$"+variable.Variable, variable.Type, op.Variables[variable.Variable]); err != nil {
			return err
		}
	}
	return nil
}

// check looks at a value, and at what it holds; values have the types that they are declared with.
func (o oneOf) check(path string, of *ast.Type, value any) *gqlerror.Error {
	if list, ok := value.([]any); ok && of.Elem != nil {
		for i, element := range list {
			if err := o.check(path+"["+strconv.Itoa(i)+"]", of.Elem, element); err != nil {
				return err
			}
		}
		return nil
	}
	fields, ok := value.(map[string]any)
	def := o.schema.Types[of.Name()]
	if !ok || def == nil || def.Kind != ast.InputObject {
		return nil
	}
	given := 0
	for _, field := range def.Fields {
		inner, named := fields[field.Name]
		if named {
			given++
		}
		if named && inner == nil && def.Directives.ForName("oneOf") != nil {
			given++ // null is no value
		}
		if err := o.check(path+"."+field.Name, field.Type, inner); err != nil {
			return err
		}
	}
	if def.Directives.ForName("oneOf") != nil && given != 1 {
		return refusal("BAD_USER_INPUT", path+" must have exactly one of its fields, and not null.")
	}
	return nil
}
