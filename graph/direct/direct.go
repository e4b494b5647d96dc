// Package direct writes objects as JSON in one go. gqlgen keeps a context, a path and a closure for every field, and a goroutine
// for every element of a list, so that any field may read, wait and fail; most fields do neither. What is selected is looked at
// once, for all elements of a list: where every field is one that is described here, the object is written, and elsewhere gqlgen
// answers as ever.
package direct

import (
	"context"
	"io"
	"slices"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// Writer takes the JSON of an answer.
type Writer struct {
	Context context.Context // of the field that is answered
	body    []byte
	failed  bool
}

// Write appends; it never fails.
func (w *Writer) Write(b []byte) (int, error) {
	w.body = append(w.body, b...)
	return len(b), nil
}

// Fail gives the answer up: gqlgen writes it instead, and puts the fault where it belongs.
func (w *Writer) Fail() { w.failed = true }

func (w *Writer) add(s string) { w.body = append(w.body, s...) }

// Text writes a string as gqlgen does.
func (w *Writer) Text(s string) {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == '"' || s[i] == '\\' {
			graphql.MarshalString(s).MarshalGQL(w)
			return
		}
	}
	w.body = append(append(append(w.body, '"'), s...), '"')
}

// TextOrNull writes a string that may be missing.
func (w *Writer) TextOrNull(s *string) {
	if s == nil {
		w.add("null")
		return
	}
	w.Text(*s)
}

// Int writes a whole number.
func (w *Writer) Int(i int) { w.body = strconv.AppendInt(w.body, int64(i), 10) }

// Bool writes true or false.
func (w *Writer) Bool(b bool) { w.body = strconv.AppendBool(w.body, b) }

// Float writes a finite number as gqlgen does; NaN and infinities are faults.
func (w *Writer) Float(x float64) {
	if x-x != 0 {
		w.Fail()
		return
	}
	w.body = strconv.AppendFloat(w.body, x, 'g', -1, 64)
}

// FloatOrNull writes a number that may be missing.
func (w *Writer) FloatOrNull(x *float64) {
	if x == nil {
		w.add("null")
		return
	}
	w.Float(*x)
}

// Write makes a field's writer of what gives its value and what writes it.
func Write[T, V any](get func(T) V, write func(*Writer, V)) Field[T] {
	return func(*graphql.OperationContext, graphql.CollectedField) (func(*Writer, T), bool) {
		return func(w *Writer, v T) { write(w, get(v)) }, true
	}
}

// Each writes a list of scalars.
func Each[V any](write func(*Writer, V)) func(*Writer, []V) {
	return func(w *Writer, list []V) {
		w.add("[")
		for i, v := range list {
			if i > 0 {
				w.add(",")
			}
			write(w, v)
		}
		w.add("]")
	}
}

// Field looks at a selected field of T and gives what writes its value; false where it cannot be written directly.
type Field[T any] func(*graphql.OperationContext, graphql.CollectedField) (func(*Writer, T), bool)

// Object describes a type of the schema whose values are *V: those of its fields that can be written directly. A field is left
// out that reads alone, or waits, or that a directive guards.
type Object[V any] struct {
	Type       string
	Interfaces []string
	Fields     map[string]Field[*V]
}

// plan gives what writes the selected fields; false where one of them is not described.
func (o *Object[V]) plan(op *graphql.OperationContext, selected ast.SelectionSet) (func(*Writer, *V), bool) {
	fields := graphql.CollectFields(op, selected, append([]string{o.Type}, o.Interfaces...))
	names, writes := make([]string, len(fields)), make([]func(*Writer, *V), len(fields))
	for i, f := range fields {
		names[i] = `"` + f.Alias + `":`
		if len(f.Deferrables) > 0 || slices.Contains(names[:i], names[i]) {
			return nil, false
		}
		describe, ok := o.Fields[f.Name]
		switch {
		case f.Name == "__typename":
			writes[i] = func(w *Writer, _ *V) { w.Text(o.Type) }
		case !ok:
			return nil, false
		default:
			if writes[i], ok = describe(op, f); !ok {
				return nil, false
			}
		}
	}
	return func(w *Writer, v *V) {
		if v == nil {
			w.Fail() // of a type that is never null here: a fault to be told
			return
		}
		for i, write := range writes {
			separator := byte(',')
			if i == 0 {
				separator = '{'
			}
			w.body = append(append(w.body, separator), names[i]...)
			write(w, v)
		}
		w.body = append(w.body, '}')
	}, true
}

// One is a field that holds an object, or null where it may be missing.
func One[T, V any](get func(*Writer, T) *V, nullable bool, object *Object[V]) Field[T] {
	return func(op *graphql.OperationContext, f graphql.CollectedField) (func(*Writer, T), bool) {
		write, ok := object.plan(op, f.Selections)
		return func(w *Writer, v T) {
			if o := get(w, v); o != nil || !nullable {
				write(w, o)
			} else {
				w.add("null")
			}
		}, ok
	}
}

// Many is a field that holds a list of objects.
func Many[T, V any](get func(T) []*V, object *Object[V]) Field[T] {
	return func(op *graphql.OperationContext, f graphql.CollectedField) (func(*Writer, T), bool) {
		write, ok := object.plan(op, f.Selections)
		each := Each(write)
		return func(w *Writer, v T) { each(w, get(v)) }, ok
	}
}

// answer is what the field that is being answered holds, as JSON.
type answer struct{ json []byte }

// MarshalGQL is of graphql.Marshaler.
func (a *answer) MarshalGQL(w io.Writer) { _, _ = w.Write(a.json) }

// expected is how long an answer may become before more memory is asked for.
const expected = 8 << 10

// Answer writes the value of the field that is being answered; false where that is left to gqlgen.
func (o *Object[V]) Answer(ctx context.Context, v *V) (any, bool) {
	write, ok := o.plan(graphql.GetOperationContext(ctx), graphql.GetFieldContext(ctx).Field.Selections)
	return written(ctx, ok, write, v)
}

// AnswerAll does so for a list.
func (o *Object[V]) AnswerAll(ctx context.Context, list []*V) (any, bool) {
	write, ok := o.plan(graphql.GetOperationContext(ctx), graphql.GetFieldContext(ctx).Field.Selections)
	return written(ctx, ok, Each(write), list)
}

func written[V any](ctx context.Context, ok bool, write func(*Writer, V), v V) (any, bool) {
	if !ok {
		return nil, false
	}
	w := Writer{Context: ctx, body: make([]byte, 0, expected)}
	if write(&w, v); w.failed {
		return nil, false
	}
	return &answer{w.body}, true
}
