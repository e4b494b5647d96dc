package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/linesort"
)

// A store's lines are in a partition of their own, which its first import makes: the lines are sorted by customer on this side
// (package linesort), written as they will lie, get their indexes once everything is there, and the table is hung in. That
// is several times as fast as to add line by line to tables and indexes of others, and twice as fast as to have the server
// sort a copy.

// The table has the form of the partitioned one from the start, so that hanging it in makes nothing anew and looks at no row.
const createLines = `-- name: CreateLines
CREATE TABLE %[1]s (LIKE customer_order INCLUDING DEFAULTS, CHECK (store_id = %[2]d))`

const copyCustomers = `COPY customer (store_id, customer_key, first_order_at, last_order_at, orders, value_cents) FROM STDIN (FORMAT binary)`

const copyLines = `COPY %s (store_id, customer_id, ` + lineColumns + `) FROM STDIN (FORMAT binary)`

// Customers get their numbers in the order of their keys, so that the same file gives the same order.
const loadedCustomers = `-- name: LoadedCustomers
SELECT customer_id FROM customer WHERE store_id = $1 ORDER BY customer_key COLLATE "C"`

// Columns of which no statement needs to know how their values are spread are left to the server's own ANALYZE.
var completeLines = []string{
	`ALTER TABLE %[1]s ADD PRIMARY KEY (order_key, line_no, store_id)`,
	`CREATE INDEX ON %[1]s (store_id, customer_id, ordered_at)`,
	`CREATE INDEX ON %[1]s (store_id, customer_id) WHERE cancelled_at IS NOT NULL`,
	`ALTER TABLE customer_order ATTACH PARTITION %[1]s FOR VALUES IN (%[2]d)`,
	`ANALYZE %[1]s (store_id, order_key, line_no, customer_id, ordered_at, quantity, cancelled_at)`,
}

// ordersTable is the partition of a store's lines.
func ordersTable(storeID int32) string {
	return pgx.Identifier{fmt.Sprintf("customer_order_%d", storeID)}.Sanitize()
}

// hasOrders tells whether the store has its partition: whether anything was ever imported.
func hasOrders(ctx context.Context, tx *Tx, store *engine.Store) (bool, error) {
	var has bool
	err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", ordersTable(store.ID)).Scan(&has)
	return has, err
}

// loadOrders makes the partition and the customers of a store that had no orders yet. There is nothing that could be withdrawn.
func loadOrders(ctx context.Context, tx *Tx, store *engine.Store, fill Fill) (lines int64, err error) {
	// The file is read before the server gets to do anything.
	if _, err := tx.Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0"); err != nil {
		return 0, err
	}
	sorter := linesort.New()
	defer sorter.Close()
	var said articles
	var row []byte
	columns, err := fill(func(l *ImportLine) error {
		if l.Withdrawn {
			return nil
		}
		lines++
		said.see(l)
		row = appendLine(row[:0], l)
		sorted := linesort.Line{Key: l.Customer, At: l.OrderedAt.UnixMicro(), Row: row}
		if l.CancelledAt.IsZero() { // else it counts for nothing now
			sorted.Value, sorted.Bought = l.NetCents-l.RefundCents, l.Quantity > 0
		}
		return sorter.Add(&sorted)
	})
	if err != nil {
		return 0, err
	}
	table, sorted := ordersTable(store.ID), sorter.Sorted()
	if _, err := tx.Exec(ctx, fmt.Sprintf(createLines, table, store.ID)); err != nil {
		return 0, err
	}
	if err := loadCustomers(ctx, tx, store, sorted); err != nil {
		return 0, err
	}
	if err := loadLines(ctx, tx, store, &said, sorted); err != nil {
		return 0, err
	}
	if err := said.write(ctx, tx, store, table); err != nil {
		return 0, err
	}
	if said.more && said.lacking {
		if _, err := tx.Exec(ctx, fmt.Sprintf(fillCategories, table), store.ID); err != nil {
			return 0, err
		}
	}
	for _, sql := range completeLines {
		if _, err := tx.Exec(ctx, fmt.Sprintf(sql, table, store.ID)); err != nil {
			return 0, err
		}
	}
	_, err = tx.Exec(ctx, recountStore, store.ID, int16(columns), time.Time{})
	return lines, err
}

// loadCustomers writes the customers of lines in order.
func loadCustomers(ctx context.Context, tx *Tx, store *engine.Store, sorted func(func(*linesort.Line) error) error) error {
	return copyRows(ctx, tx, copyCustomers, func(out *bufio.Writer) error {
		c := customerSum{store: store}
		var row []byte
		write := func() error {
			if !c.begun {
				return nil
			}
			row = c.appendTo(row[:0])
			_, err := out.Write(row)
			return err
		}
		err := sorted(func(l *linesort.Line) error {
			if !c.begun || l.Key != c.key {
				if err := write(); err != nil {
					return err
				}
				c.begin(l.Key)
			}
			c.add(l)
			return nil
		})
		if err != nil {
			return err
		}
		return write()
	})
}

// loadLines writes the lines in order, under the numbers of their customers and with the categories that others say.
func loadLines(ctx context.Context, tx *Tx, store *engine.Store, said *articles, sorted func(func(*linesort.Line) error) error) error {
	ids, err := collect(ctx, tx, pgx.RowTo[int64], loadedCustomers, store.ID)
	if err != nil {
		return err
	}
	return copyRows(ctx, tx, fmt.Sprintf(copyLines, ordersTable(store.ID)), func(out *bufio.Writer) error {
		place, customer := -1, ""
		complete := said.lacking && len(said.said) > 0 && !said.more
		var head, completed []byte
		return sorted(func(l *linesort.Line) error {
			if place < 0 || l.Key != customer {
				place++
				customer = l.Key
				head = appendInt4(binary.BigEndian.AppendUint16(head[:0], 2+lineWidth), store.ID)
				head = appendInt8(head, ids[place])
			}
			if _, err := out.Write(head); err != nil {
				return err
			}
			row := l.Row
			if complete {
				row, completed = said.complete(row, completed)
			}
			_, err := out.Write(row)
			return err
		})
	})
}

// customerSum is what is known of a customer without clustering: the same that RefreshCustomers works out.
type customerSum struct {
	store *engine.Store
	begun bool
	key   string

	first, last int64 // microseconds, of lines of positive quantity
	orders      int32 // days with such a line
	days        [2]engine.Date
	high, low   int64 // the value is high x 2^32 + low, in cents: lines of any value add up
}

func (c *customerSum) begin(key string) { *c = customerSum{store: c.store, begun: true, key: key} }

// add takes in a line; lines come in the order of time.
func (c *customerSum) add(l *linesort.Line) {
	c.high += l.Value >> 32
	c.low += l.Value & math.MaxUint32
	if !l.Bought || c.orders > 0 && l.At == c.last {
		return
	}
	// A clock that is set back over midnight has a day twice.
	day := engine.DateOf(time.UnixMicro(l.At), c.store.Zone)
	switch {
	case c.orders == 0:
		c.first = l.At
		c.orders, c.days = 1, [2]engine.Date{day, day}
	case day != c.days[0] && day != c.days[1]:
		c.orders++
		fallthrough
	case day != c.days[0]:
		c.days = [2]engine.Date{day, c.days[0]}
	}
	c.last = l.At
}

// A customer's value ends here, whatever the lines say.
const maxValue = 9_000_000_000_000_000_000

func (c *customerSum) value() int64 {
	switch about := float64(c.high)*(1<<32) + float64(c.low); {
	case about >= maxValue:
		return maxValue
	case about <= -maxValue:
		return -maxValue
	default:
		return c.high<<32 + c.low
	}
}

// appendTo writes the row of copyCustomers.
func (c *customerSum) appendTo(b []byte) []byte {
	const width = 6
	b = appendInt4(binary.BigEndian.AppendUint16(b, width), c.store.ID)
	b = appendText(b, c.key)
	if c.orders == 0 {
		b = appendNull(appendNull(b))
	} else {
		b = appendMicros(appendMicros(b, c.first), c.last)
	}
	return appendInt8(appendInt4(b, c.orders), c.value())
}
