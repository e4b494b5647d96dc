package ingest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"strings"
)

// madeKey begins the order keys of lines whose source has no order ids.
const madeKey = '~'

// OrderKey is the key under which the lines of an order id are stored: the id itself, but for ids that look like a made key.
func OrderKey(orderID string) string {
	if strings.HasPrefix(orderID, string(madeKey)) {
		return string(madeKey) + orderID
	}
	return orderID
}

// OrderIDOf is the inverse of OrderKey: empty for the keys that Read makes where a source has no order ids.
func OrderIDOf(orderKey string) string {
	if !strings.HasPrefix(orderKey, string(madeKey)) {
		return orderKey
	}
	if id := orderKey[1:]; strings.HasPrefix(id, string(madeKey)) {
		return id
	}
	return ""
}

// keyMaker names lines. An order's lines need not stand together, so it remembers for all orders of a file how many lines
// they have: 8 bytes each, since a file may hold millions.
type keyMaker struct {
	lines    tally
	order    string // the last one, and its hash and key
	hash     uint64
	orderKey string
	buffer   []byte
}

// name gives the record its OrderKey, where it has none from an export, and, unless its order came in one piece and its lines are
// counted, its LineNo. What may change later without making it another line, its category and its
// refund, is no part of a made key.
func (k *keyMaker) name(r *Record) {
	if r.OrderID != "" {
		if r.LineNo > 0 {
			r.OrderKey = OrderKey(r.OrderID)
			return
		}
		if r.OrderID != k.order {
			k.order, k.orderKey = r.OrderID, OrderKey(r.OrderID)
			k.buffer = append(k.buffer[:0], r.OrderID...)
			sum := sha256.Sum256(k.buffer)
			k.hash = binary.LittleEndian.Uint64(sum[:])
		}
		r.OrderKey, r.LineNo = k.orderKey, k.lines.add(k.hash)
		return
	}
	if hash, ok := madeHash(r.OrderKey); ok {
		r.LineNo = k.lines.add(hash)
		return
	}
	at := r.OrderedAt
	if !r.KeyedAt.IsZero() {
		at = r.KeyedAt
	}
	b := append(k.buffer[:0], r.Customer...)
	b = binary.LittleEndian.AppendUint64(append(b, 0), uint64(at.UnixMicro()))
	b = append(append(b, r.SKU...), 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.Quantity))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.NetCents))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.DiscountCents))
	k.buffer = b
	sum := sha256.Sum256(b)
	var key [1 + 16]byte
	key[0] = madeKey
	base64.RawURLEncoding.Encode(key[1:], sum[:12])
	r.OrderKey, r.LineNo = string(key[:]), k.lines.add(binary.LittleEndian.Uint64(sum[:]))
}

// madeHash gives the number by which lines with a made key are counted; ok is false for what is no such key.
func madeHash(key string) (hash uint64, ok bool) {
	if len(key) != 1+16 || key[0] != madeKey {
		return 0, false
	}
	sum, err := base64.RawURLEncoding.DecodeString(key[1:])
	if err != nil {
		return 0, false
	}
	return binary.LittleEndian.Uint64(sum), true
}

// tally counts how often 64-bit hashes were seen, in 8 bytes each: the upper 54 bits name the hash, the lower 10 count, and
// the few larger counts live in a map. Two of five million orders share 54 bits in one of 1,400 files; the second then
// counts on from the first, which keeps its lines' keys unique.
type tally struct {
	slots []uint64 // open addressing by the upper bits; 0 is free
	used  int
	large map[uint64]int32
}

const (
	countBits = 10
	countMask = 1<<countBits - 1
	firstSize = 1 << 10
)

// add counts one more h and gives the new count.
func (t *tally) add(h uint64) int32 {
	i := t.find(h)
	name := h &^ countMask
	switch count := t.slots[i] & countMask; {
	case count == 0:
		t.slots[i] = name | 1
		t.used++
		return 1
	case count < countMask:
		t.slots[i]++
		return int32(count + 1)
	}
	if t.large == nil {
		t.large = map[uint64]int32{}
	}
	t.large[name] = max(t.large[name], countMask) + 1
	return t.large[name]
}

// insert tells whether h is new.
func (t *tally) insert(h uint64) bool {
	i := t.find(h)
	if t.slots[i] != 0 {
		return false
	}
	t.slots[i] = h&^countMask | 1
	t.used++
	return true
}

// find gives h's slot or the free one where it belongs.
func (t *tally) find(h uint64) int {
	if t.used >= len(t.slots)/5*4 {
		t.grow()
	}
	return t.probe(h)
}

func (t *tally) probe(h uint64) int {
	shift := 64 - bits.TrailingZeros(uint(len(t.slots)))
	mask := len(t.slots) - 1
	i := int(h >> shift)
	for t.slots[i] != 0 && (t.slots[i]^h)&^countMask != 0 {
		i = (i + 1) & mask
	}
	return i
}

func (t *tally) grow() {
	old := t.slots
	t.slots = make([]uint64, max(firstSize, 2*len(old)))
	for _, slot := range old {
		if slot != 0 {
			t.slots[t.probe(slot)] = slot
		}
	}
}
