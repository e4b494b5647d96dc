package resolvers

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/quimbi/quimbi/graph"
	"github.com/quimbi/quimbi/jobs"
)

// served is the schema that is answered.
var served = graph.NewExecutableSchema(graph.Config{}).Schema()

// once names a call by its key, and by what it asks for: an input object of the schema, its defaults filled in.
func once(key *string, input any) (jobs.Once, error) {
	if key == nil {
		return jobs.Once{}, nil
	}
	text, err := json.Marshal(input)
	if err != nil {
		return jobs.Once{}, err
	}
	asked, err := said(served, reflect.TypeOf(input).Name(), text)
	if err != nil {
		return jobs.Once{}, err
	}
	hash := sha256.Sum256(asked)
	return jobs.Once{IdempotencyKey: *key, Asked: hash[:]}, nil
}

// said gives an input object as JSON without what a caller need not say: null, and what the schema says by default. So the same call asks for
// the same when a later version of the program knows a further field.
func said(schema *ast.Schema, name string, text []byte) ([]byte, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	definition := schema.Types[name]
	if definition == nil {
		return nil, fmt.Errorf("the schema has no type %s", name)
	}
	for _, field := range definition.Fields {
		value, there := fields[field.Name]
		if !there {
			continue
		}
		usual := []byte("null")
		if field.DefaultValue != nil {
			given, err := field.DefaultValue.Value(nil)
			if err == nil {
				usual, err = json.Marshal(given)
			}
			if err != nil {
				return nil, err
			}
		}
		if bytes.Equal(value, []byte("null")) || bytes.Equal(value, usual) {
			delete(fields, field.Name)
			continue
		}
		if of := schema.Types[field.Type.NamedType]; of != nil && of.Kind == ast.InputObject {
			inner, err := said(schema, of.Name, value)
			if err != nil {
				return nil, err
			}
			fields[field.Name] = inner
		}
	}
	return json.Marshal(fields)
}
