// Package model holds what the API shows of the engine's values: views with the store around them, connections, inputs,
// payloads and user errors. Views compute from what they hold and read nothing.
package model

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/quimbi/quimbi/engine"
)

// Kind is what a global identifier stands for.
type Kind string

// The kinds; the letters never change, since clients keep identifiers.
const (
	KindStore    Kind = "s"
	KindCustomer Kind = "c"
	KindAxis     Kind = "a"
	KindModel    Kind = "m"
	KindSegment  Kind = "g"
	KindSnapshot Kind = "p"
	KindEvent    Kind = "e"
	KindAlarm    Kind = "w"
	KindRun      Kind = "r"
)

// ID is a global identifier taken apart; which fields count depends on Kind.
type ID struct {
	Kind     Kind
	Store    int32
	Customer int64
	Version  int
	Axis     int
	Segment  string // key
	Type     engine.SnapshotType
	Date     engine.Date
	Event    int64
	Run      string // UUID
}

// String writes the opaque form: base64url of the kind, the store and the key within it.
func (id ID) String() string {
	parts := []string{string(id.Kind), number(id.Store)}
	switch id.Kind {
	case KindCustomer:
		parts = append(parts, number(id.Customer))
	case KindAxis:
		parts = append(parts, engine.Axes[id.Axis].Key)
	case KindModel:
		parts = append(parts, number(id.Version))
	case KindSegment:
		parts = append(parts, number(id.Version), engine.Axes[id.Axis].Key, id.Segment)
	case KindSnapshot:
		parts = append(parts, number(id.Customer), number(id.Type), number(id.Date))
	case KindEvent, KindAlarm:
		parts = append(parts, number(id.Event))
	case KindRun:
		parts = append(parts, id.Run)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(parts, "/")))
}

// partCount is how many parts the identifiers of each kind have.
var partCount = map[Kind]int{
	KindStore: 2, KindCustomer: 3, KindAxis: 3, KindModel: 3, KindSegment: 5, KindSnapshot: 5, KindEvent: 3, KindAlarm: 3, KindRun: 3,
}

// ParseID reads the opaque form. Fault: INVALID where it is none of ours.
func ParseID(text string) (ID, error) {
	malformed := engine.Errorf(engine.CodeInvalid, "%q is no identifier of this API; take it from an id field as it is", shortened(text))
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return ID{}, malformed
	}
	parts := strings.Split(string(raw), "/")
	kind := Kind(parts[0])
	if partCount[kind] == 0 || len(parts) != partCount[kind] {
		return ID{}, malformed
	}
	r := partReader{parts: parts[1:]}
	id := ID{Kind: kind, Store: int32(r.integer(32))}
	switch kind {
	case KindCustomer:
		id.Customer = r.integer(64)
	case KindAxis:
		id.Axis = r.axis()
	case KindModel:
		id.Version = int(r.integer(32))
	case KindSegment:
		id.Version, id.Axis, id.Segment = int(r.integer(32)), r.axis(), r.text()
	case KindSnapshot:
		id.Customer, id.Type, id.Date = r.integer(64), engine.SnapshotType(r.integer(16)), engine.Date(r.integer(32))
	case KindEvent, KindAlarm:
		id.Event = r.integer(64)
	case KindRun:
		id.Run = r.text()
	}
	// One object has one identifier: leading zeros and the like are refused.
	if r.failed || id.String() != text {
		return ID{}, malformed
	}
	return id, nil
}

// partReader takes the parts of an identifier one by one.
type partReader struct {
	parts  []string
	failed bool
}

func (r *partReader) text() string {
	part := r.parts[0]
	r.parts = r.parts[1:]
	r.failed = r.failed || part == ""
	return part
}

func (r *partReader) integer(bits int) int64 {
	i, err := strconv.ParseInt(r.text(), 10, bits)
	r.failed = r.failed || err != nil
	return i
}

func (r *partReader) axis() int {
	axis, ok := engine.AxisIndex(r.text())
	r.failed = r.failed || !ok
	return axis
}

func number[T ~int | ~int16 | ~int32 | ~int64](i T) string { return strconv.FormatInt(int64(i), 10) }

// shortened keeps a text that a caller sent short enough to be shown in a message.
func shortened(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
