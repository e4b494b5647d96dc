// Package scalar reads and writes the API's own scalars: every one keeps all digits of the engine's value.
package scalar

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/quimbi/quimbi/engine"
)

// invalid makes the fault of a value that a scalar refuses.
func invalid(format string, args ...any) error {
	return engine.Errorf(engine.CodeInvalid, format, args...)
}

// MarshalInt writes a number of at most 32 bits, which is all that GraphQL's Int holds.
func MarshalInt(i int) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) { write(w, strconv.Itoa(i)) })
}

// UnmarshalInt reads a number of at most 32 bits.
func UnmarshalInt(v any) (int, error) {
	i, err := graphql.UnmarshalInt32(v)
	if err != nil {
		return 0, invalid("an Int is a whole number from -2147483648 to 2147483647")
	}
	return int(i), nil
}

// MarshalDate writes YYYY-MM-DD.
func MarshalDate(d engine.Date) graphql.Marshaler { return quoted(d.String()) }

// UnmarshalDate reads YYYY-MM-DD.
func UnmarshalDate(v any) (engine.Date, error) {
	s, ok := v.(string)
	if !ok {
		return 0, invalid("a Date is a string such as \"2026-01-31\"")
	}
	return engine.ParseDate(s)
}

// MarshalDateTime writes an instant in UTC, and null for the zero time.
func MarshalDateTime(t time.Time) graphql.Marshaler {
	if t.IsZero() {
		return graphql.Null
	}
	return quoted(t.UTC().Format(time.RFC3339Nano))
}

// UnmarshalDateTime reads an instant with a zone.
func UnmarshalDateTime(v any) (time.Time, error) {
	if s, ok := v.(string); ok {
		// Where its zone leads out of the years that can be written it is none.
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil && t.UTC().Year() >= 0 && t.UTC().Year() <= 9999 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, invalid("a DateTime is a string with a zone such as \"2026-01-31T19:00:00Z\", in the years 0 to 9999")
}

// MarshalDecimal writes an amount of minor units as a string with two decimals.
func MarshalDecimal(cents int64) graphql.Marshaler {
	digits := strconv.FormatUint(magnitude(cents), 10)
	if len(digits) < 3 {
		digits = "00"[:3-len(digits)] + digits
	}
	sign := ""
	if cents < 0 {
		sign = "-"
	}
	return quoted(sign + digits[:len(digits)-2] + "." + digits[len(digits)-2:])
}

func magnitude(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

// UnmarshalDecimal reads an amount with at most two decimals, from a string or a number, as minor units.
func UnmarshalDecimal(v any) (int64, error) {
	text, ok := numberText(v)
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if ok && whole != "" && len(fraction) <= 2 && allDigits(whole) && allDigits(fraction) {
		cents, err := strconv.ParseInt(whole+(fraction + "00")[:2], 10, 64)
		if err == nil {
			if negative {
				cents = -cents
			}
			return cents, nil
		}
	}
	return 0, invalid("a Decimal is an amount with at most two decimals, for example \"464000.25\"")
}

// MarshalLong writes a 64-bit number as a string: past 2^53 JavaScript would lose digits.
func MarshalLong(i int64) graphql.Marshaler { return quoted(strconv.FormatInt(i, 10)) }

// UnmarshalLong reads a 64-bit number from a string or a number.
func UnmarshalLong(v any) (int64, error) {
	if text, ok := numberText(v); ok {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i, nil
		}
	}
	return 0, invalid("a Long is a whole number of 64 bits, for example \"9007199254740993\"")
}

// MarshalFloatList writes a JSON array of numbers in one go; NaN and infinities are null.
func MarshalFloatList(list []float64) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(appendList(make([]byte, 0, 8*len(list)+2), list)) })
}

// MarshalFloatTable writes a JSON array of arrays of numbers in one go; NaN and infinities are null.
func MarshalFloatTable(rows [][]float64) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		size := 2
		for _, row := range rows {
			size += 8*len(row) + 3
		}
		b := append(make([]byte, 0, size), '[')
		for i, row := range rows {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendList(b, row)
		}
		_, _ = w.Write(append(b, ']'))
	})
}

func appendList(b []byte, list []float64) []byte {
	b = append(b, '[')
	for i, x := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNumber(b, x)
	}
	return append(b, ']')
}

// Beyond these magnitudes numbers are written with an exponent.
const (
	smallest = 1e-6
	largest  = 1e21
)

// appendNumber writes x with the fewest digits that read as x again; null where it is not finite.
func appendNumber(b []byte, x float64) []byte {
	if b, ok := appendUnits(b, x); ok {
		return b
	}
	magnitude := math.Abs(x)
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return append(b, "null"...)
	case magnitude != 0 && (magnitude < smallest || magnitude >= largest):
		return strconv.AppendFloat(b, x, 'e', -1, 64)
	default:
		return strconv.AppendFloat(b, x, 'f', -1, 64)
	}
}

// units is one over the precision of memberships, which are most of the numbers that are written.
const units = 10_000

// appendUnits writes x if it is a whole number of units from 0 to 1. No shorter digits read as x: two decimals of 15 digits or
// fewer never read as the same number.
func appendUnits(b []byte, x float64) ([]byte, bool) {
	if !(x >= 0 && x <= 1) || math.Signbit(x) {
		return b, false
	}
	n := int(x*units + 0.5)
	switch {
	case float64(n)/units != x:
		return b, false
	case n == units:
		return append(b, '1'), true
	case n == 0:
		return append(b, '0'), true
	}
	b = append(b, '0', '.')
	for place := units / 10; n > 0; place /= 10 {
		b = append(b, byte('0'+n/place))
		n %= place
	}
	return b, true
}

// UnmarshalFloatTable reads an array of arrays of numbers and nulls.
func UnmarshalFloatTable(v any) ([][]float64, error) {
	items, ok := v.([]any)
	if !ok {
		return nil, invalid("a FloatTable is an array of arrays of numbers and nulls")
	}
	rows := make([][]float64, len(items))
	for i, item := range items {
		row, err := UnmarshalFloatList(item)
		if err != nil {
			return nil, invalid("a FloatTable is an array of arrays of numbers and nulls")
		}
		rows[i] = row
	}
	return rows, nil
}

// UnmarshalFloatList reads an array of numbers and nulls.
func UnmarshalFloatList(v any) ([]float64, error) {
	items, ok := v.([]any)
	if !ok {
		return nil, invalid("a FloatList is an array of numbers and nulls")
	}
	list := make([]float64, len(items))
	for i, item := range items {
		if item == nil {
			list[i] = math.NaN()
			continue
		}
		x, err := graphql.UnmarshalFloat(item)
		if err != nil {
			return nil, invalid("a FloatList is an array of numbers and nulls")
		}
		list[i] = x
	}
	return list, nil
}

// MarshalSnapshotType writes the type in upper case.
func MarshalSnapshotType(t engine.SnapshotType) graphql.Marshaler {
	return quoted(strings.ToUpper(t.String()))
}

// UnmarshalSnapshotType reads the type in upper case.
func UnmarshalSnapshotType(v any) (engine.SnapshotType, error) {
	s, _ := v.(string)
	return engine.ParseSnapshotType(strings.ToLower(s))
}

// MarshalDayOfWeek writes the day in upper case.
func MarshalDayOfWeek(d time.Weekday) graphql.Marshaler { return quoted(strings.ToUpper(d.String())) }

// UnmarshalDayOfWeek reads the day in upper case.
func UnmarshalDayOfWeek(v any) (time.Weekday, error) {
	s, _ := v.(string)
	for d := time.Sunday; d <= time.Saturday; d++ {
		if s == strings.ToUpper(d.String()) {
			return d, nil
		}
	}
	return 0, invalid("a DayOfWeek is one of its seven names, for example MONDAY")
}

// MarshalJSON writes a document as it is.
func MarshalJSON(document json.RawMessage) graphql.Marshaler {
	if len(document) == 0 {
		return graphql.Null
	}
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(document) })
}

// UnmarshalJSON reads a document of any shape.
func UnmarshalJSON(v any) (json.RawMessage, error) {
	document, err := json.Marshal(v)
	if err != nil {
		return nil, invalid("this is no JSON document")
	}
	return document, nil
}

// MarshalAxisReason writes a reason, and null for none.
func MarshalAxisReason(r engine.AxisReason) graphql.Marshaler { return MarshalWord(string(r)) }

// UnmarshalAxisReason reads a reason.
func UnmarshalAxisReason(v any) (engine.AxisReason, error) {
	s, err := UnmarshalWord(v)
	return engine.AxisReason(s), err
}

// MarshalRunStage writes a stage, and null for none.
func MarshalRunStage(s engine.RunStage) graphql.Marshaler { return MarshalWord(string(s)) }

// UnmarshalRunStage reads a stage.
func UnmarshalRunStage(v any) (engine.RunStage, error) {
	s, err := UnmarshalWord(v)
	return engine.RunStage(s), err
}

// MarshalWord writes a value of an enum, and null for the empty one.
func MarshalWord(s string) graphql.Marshaler {
	if s == "" {
		return graphql.Null
	}
	return quoted(s)
}

// UnmarshalWord reads a value of an enum.
func UnmarshalWord(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", invalid("a value of an enum is a word")
	}
	return s, nil
}

// numberText gives the digits of a string or a number.
func numberText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case int:
		return strconv.Itoa(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	default:
		return "", false
	}
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func quoted(s string) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) { write(w, `"`+s+`"`) })
}

func write(w io.Writer, s string) { _, _ = io.WriteString(w, s) }
