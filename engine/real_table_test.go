package engine_test

import (
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/internal/realstore"
)

func init() { engine.RealTable = realTable }

func realTable(tb testing.TB, name string, asOf engine.Date) *engine.Table {
	tb.Helper()
	store := realstore.Load(tb, name)
	month := engine.ReferenceMonth(asOf.In(time.UTC), time.UTC)
	references := feature.NewReferenceBuilder(time.UTC, store.Columns, []engine.Date{month})
	for _, lines := range store.Customers {
		references.Add(lines)
	}
	at := []engine.Instant{{At: asOf.In(time.UTC), Reference: references.References()[0]}}
	table := &engine.Table{AsOf: asOf, Columns: store.Columns}
	builder := feature.NewBuilder(time.UTC, store.Columns)
	for i, lines := range store.Customers {
		builder.Build(lines, at, func(_ int, f *engine.Features) { table.Append(int64(i), f) })
	}
	return table
}
