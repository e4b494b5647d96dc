package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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
  quantity int NOT NULL, net_cents bigint NOT NULL, discount_cents bigint, refund_cents bigint NOT NULL, refunded_at timestamptz
)`

const copyToStage = `COPY %s (customer_key, order_key, line_no, ordered_at, sku, category, quantity, net_cents, discount_cents, refund_cents, refunded_at)
FROM STDIN (FORMAT binary)`

// stageWidth is the number of these columns.
const stageWidth = 11

// stageBuffer is how many bytes pass at once from the reader of a file to the COPY.
const stageBuffer = 1 << 16

// staged is what an import holds beside its lines.
type staged struct {
	columns   engine.Columns
	withdrawn map[string]time.Time // by order key, when it was cancelled
}

// copyStage writes the lines to the stage while they are read. They are put into the wire's own form here: pgx's general
// way takes as long as reading the file does.
func copyStage(ctx context.Context, tx *Tx, stage string, fill Fill) (staged, error) {
	reader, writer := io.Pipe()
	type outcome struct {
		staged
		err error
	}
	filled := make(chan outcome, 1)
	go func() {
		w := &stageWriter{out: bufio.NewWriterSize(writer, stageBuffer), withdrawn: map[string]time.Time{}}
		w.begin()
		columns, err := fill(w.line)
		err = errors.Join(err, w.end(err))
		writer.CloseWithError(err)
		filled <- outcome{staged{columns, w.withdrawn}, err}
	}()
	_, copyErr := tx.Conn().PgConn().CopyFrom(ctx, reader, fmt.Sprintf(copyToStage, stage))
	reader.Close()
	result := <-filled
	if result.err != nil && !errors.Is(result.err, io.ErrClosedPipe) {
		return staged{}, result.err // the COPY's fault is only that it got no further
	}
	return result.staged, copyErr
}

// stageWriter writes rows in the binary form of COPY.
type stageWriter struct {
	out       *bufio.Writer // keeps its first error and gives it again
	row       []byte
	withdrawn map[string]time.Time
}

func (w *stageWriter) begin() {
	_, _ = w.out.WriteString("PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00") // signature, no flags, no extension
}

func (w *stageWriter) line(l *ImportLine) error {
	if l.Withdrawn {
		w.withdrawn[l.OrderKey] = l.CancelledAt
		return nil
	}
	b := binary.BigEndian.AppendUint16(w.row[:0], stageWidth)
	b = appendText(b, l.Customer)
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
	if l.RefundedAt.IsZero() {
		b = appendNull(b)
	} else {
		b = appendTime(b, l.RefundedAt)
	}
	w.row = b
	_, err := w.out.Write(b)
	return err
}

// end completes the rows, unless something went wrong before.
func (w *stageWriter) end(err error) error {
	if err != nil {
		return nil
	}
	_, _ = w.out.Write(binary.BigEndian.AppendUint16(nil, math.MaxUint16))
	return w.out.Flush()
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

func appendTime(b []byte, t time.Time) []byte { return appendInt8(b, t.UnixMicro()-postgresEpoch) }

func appendNull(b []byte) []byte { return binary.BigEndian.AppendUint32(b, math.MaxUint32) }
