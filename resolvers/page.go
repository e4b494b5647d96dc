package resolvers

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
)

// maxPage is the most elements of a page.
const maxPage = 100

// pageArgs are the arguments of a connection. C is what a cursor of the list holds.
type pageArgs[C any] struct {
	size          int
	backward      bool
	after, before *C
}

// pageOf reads a connection's arguments. kind is part of every cursor of the list: a cursor of another list, or of another
// order, is refused. Faults: INVALID.
func pageOf[C any](kind string, first *int, after *string, last *int, before *string) (pageArgs[C], error) {
	var p pageArgs[C]
	name := "first"
	size := first
	if last != nil {
		name, size, p.backward = "last", last, true
	}
	switch {
	case first == nil && last == nil, first != nil && last != nil:
		return p, engine.Errorf(engine.CodeInvalid, "give either first or last, from 1 to %d", maxPage)
	case *size < 1 || *size > maxPage:
		return p, engine.Errorf(engine.CodeInvalid, "%s must be from 1 to %d, is %d", name, maxPage, *size)
	}
	p.size = *size
	var err error
	if p.after, err = readCursor[C](kind, after); err != nil {
		return p, err
	}
	p.before, err = readCursor[C](kind, before)
	return p, err
}

// window asks for one row more than the page holds, to learn whether there are more.
func (p *pageArgs[C]) window() postgres.Window {
	return postgres.Window{Limit: p.size + 1, Backward: p.backward}
}

// cut takes the row too many off.
func cut[C, R any](p *pageArgs[C], rows []R) (kept []R, more bool) {
	more = len(rows) > p.size
	switch {
	case !more:
		return rows, false
	case p.backward:
		return rows[len(rows)-p.size:], true
	default:
		return rows[:p.size], true
	}
}

// info tells where the page lies.
func (p *pageArgs[C]) info(more bool, cursors []string) *model.PageInfo {
	i := &model.PageInfo{HasNextPage: more, HasPreviousPage: p.after != nil}
	if p.backward {
		i.HasNextPage, i.HasPreviousPage = p.before != nil, more
	}
	if len(cursors) > 0 {
		i.StartCursor, i.EndCursor = &cursors[0], &cursors[len(cursors)-1]
	}
	return i
}

// newPage makes a connection of rows in the order of the list. Cursors of all rows are worked out only where edges are selected.
func newPage[C, R, N any](ctx context.Context, kind string, p pageArgs[C], rows []R, cursor func(R) C, node func(R) N, count func(context.Context) (int, error)) *model.Page[N] {
	rows, more := cut(&p, rows)
	page := &model.Page[N]{Edges: make([]*model.Edge[N], len(rows)), Count: count}
	all := asked(ctx, "edges")
	cursors := make([]string, len(rows))
	for i, row := range rows {
		if all || i == 0 || i == len(rows)-1 {
			cursors[i] = writeCursor(kind, cursor(row))
		}
		page.Edges[i] = &model.Edge[N]{Cursor: cursors[i], Node: node(row)}
	}
	page.PageInfo = p.info(more, cursors)
	return page
}

// A cursor is base64url of the kind, a blank and the key as JSON: opaque to clients.
func writeCursor(kind string, key any) string {
	body, err := json.Marshal(key)
	if err != nil {
		return "" // keys are plain structs: they always marshal
	}
	return base64.RawURLEncoding.EncodeToString(append([]byte(kind+" "), body...))
}

func readCursor[C any](kind string, text *string) (*C, error) {
	if text == nil {
		return nil, nil
	}
	malformed := engine.Errorf(engine.CodeInvalid, "%q is no cursor of this list in this order; take it from cursor or pageInfo as it is", short(*text))
	raw, err := base64.RawURLEncoding.DecodeString(*text)
	body, ok := bytes.CutPrefix(raw, []byte(kind+" "))
	if err != nil || !ok || bytes.ContainsRune(body, 0) || bytes.Contains(body, []byte(`\u0000`)) {
		return nil, malformed
	}
	key := new(C)
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(key); err != nil || writeCursor(kind, key) != *text {
		return nil, malformed
	}
	return key, nil
}

// dates gives the bounds of a range, open ones far away. Fault: INVALID.
func dates(r *model.DateRange) (from, to engine.Date, err error) {
	from, to = postgres.NoDate, postgres.EndOfDates
	if r == nil {
		return from, to, nil
	}
	if r.From != nil {
		from = *r.From
	}
	if r.To != nil {
		to = *r.To
	}
	if from > to {
		return 0, 0, engine.Errorf(engine.CodeInvalid, "the range ends before it begins: from is %s, to is %s", from, to)
	}
	return from, to, nil
}
