package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// Fill hands every line of an import to yield, which gives an error when the import cannot go on, and tells which optional
// columns the lines fill. Lines with the same key and number must not come twice, and withdrawals may come in between.
type Fill func(yield func(*ImportLine) error) (engine.Columns, error)

// stageColumns are the columns of a stage, the table that the lines of an import come to first.
const stageColumns = ` (
  customer_key text NOT NULL, order_key text NOT NULL, line_no int NOT NULL, ordered_at timestamptz NOT NULL, sku text, category text,
  quantity int NOT NULL, net_cents bigint NOT NULL, discount_cents bigint, refund_cents bigint NOT NULL, refunded_at timestamptz, cancelled_at timestamptz
)`

// lineColumns are those of a line that do not tell whose it is, as appendLine writes them; lineWidth is their number.
const (
	lineColumns = `order_key, line_no, ordered_at, sku, category, quantity, net_cents, discount_cents, refund_cents, refunded_at, cancelled_at`
	lineWidth   = 11
)

const copyToStage = `COPY stage (customer_key, ` + lineColumns + `) FROM STDIN (FORMAT binary)`

// stageBuffer is how many bytes pass at once from the reader of a file to the COPY.
const stageBuffer = 1 << 16

// staged is what an import holds beside its lines.
type staged struct {
	columns   engine.Columns
	withdrawn map[string]time.Time // by order key, when it was cancelled
	articles  articles
	last      time.Time // the last purchase among the lines; zero where there is none
}

// copyStage writes the lines to the stage while they are read.
func copyStage(ctx context.Context, tx *Tx, fill Fill) (staged, error) {
	result := staged{withdrawn: map[string]time.Time{}}
	err := copyRows(ctx, tx, copyToStage, func(out *bufio.Writer) (err error) {
		var row []byte
		result.columns, err = fill(func(l *ImportLine) error {
			if l.Withdrawn {
				result.withdrawn[l.OrderKey] = l.CancelledAt
				return nil
			}
			result.articles.see(l)
			if l.Quantity > 0 && l.CancelledAt.IsZero() && l.OrderedAt.After(result.last) {
				result.last = l.OrderedAt
			}
			row = appendLine(appendText(binary.BigEndian.AppendUint16(row[:0], 1+lineWidth), l.Customer), l)
			_, err := out.Write(row)
			return err
		})
		return err
	})
	return result, err
}

// copyRows carries out a binary COPY whose rows are written while it goes on: each in the wire's own form, since pgx's general
// way takes as long as reading a file does.
func copyRows(ctx context.Context, tx *Tx, sql string, write func(out *bufio.Writer) error) error {
	reader, writer := io.Pipe()
	written := make(chan error, 1)
	go func() {
		out := bufio.NewWriterSize(writer, stageBuffer)                                          // keeps its first error and gives it again
		_, _ = out.WriteString("PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00") // signature, no flags, no extension
		err := write(out)
		if err == nil {
			_, _ = out.Write(binary.BigEndian.AppendUint16(nil, math.MaxUint16))
			err = out.Flush()
		}
		writer.CloseWithError(err)
		written <- err
	}()
	_, copyErr := tx.Conn().PgConn().CopyFrom(ctx, reader, sql)
	reader.Close()
	if err := <-written; err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return err // the COPY's fault is only that it got no further
	}
	return copyErr
}

// appendLine writes the values of lineColumns.
func appendLine(b []byte, l *ImportLine) []byte {
	b = appendText(b, l.OrderKey)
	b = appendInt4(b, l.Number)
	b = appendTime(b, l.OrderedAt)
	b = appendOptional(b, l.SKU)
	b = appendOptional(b, l.Category)
	b = appendInt4(b, l.Quantity)
	b = appendInt8(b, l.NetCents)
	if l.HasDiscount {
		b = appendInt8(b, l.DiscountCents)
	} else {
		b = appendNull(b)
	}
	b = appendInt8(b, l.RefundCents)
	return appendKnown(appendKnown(b, l.RefundedAt), l.CancelledAt)
}

// appendKnown writes NULL for a time that is not known.
func appendKnown(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return appendNull(b)
	}
	return appendTime(b, t)
}

func appendText(b []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
}

// appendOptional writes NULL for an empty text.
func appendOptional(b []byte, text string) []byte {
	if text == "" {
		return appendNull(b)
	}
	return appendText(b, text)
}

func appendInt4(b []byte, v int32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 4), uint32(v))
}

func appendInt8(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), uint64(v))
}

// postgresEpoch is the instant from which the wire counts microseconds.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func appendTime(b []byte, t time.Time) []byte { return appendMicros(b, t.UnixMicro()) }

// appendMicros writes an instant given in microseconds since 1970.
func appendMicros(b []byte, micros int64) []byte { return appendInt8(b, micros-postgresEpoch) }

func appendNull(b []byte) []byte { return binary.BigEndian.AppendUint32(b, math.MaxUint32) }
