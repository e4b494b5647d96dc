package postgres

import (
	"encoding/binary"
	"errors"

	"github.com/quimbi/quimbi/engine"
)

// Thumbprints are stored packed, in the forms that migration 0025 describes; its functions membership_at and dominant_at read
// them in SQL.

// memberships is two bytes each, big-endian.
type memberships []int16

const membershipBytes = 2

// BytesValue is for pgx.
func (m memberships) BytesValue() ([]byte, error) {
	packed := make([]byte, 0, membershipBytes*len(m))
	for _, v := range m {
		packed = binary.BigEndian.AppendUint16(packed, uint16(v))
	}
	return packed, nil
}

// ScanBytes is for pgx; NULL gives nil.
func (m *memberships) ScanBytes(packed []byte) error {
	*m = nil
	if packed == nil {
		return nil
	}
	if len(packed)%membershipBytes != 0 {
		return errPacked
	}
	list := make(memberships, len(packed)/membershipBytes)
	for i := range list {
		list[i] = int16(binary.BigEndian.Uint16(packed[membershipBytes*i:]))
	}
	*m = list
	return nil
}

// dominants is a byte with the width of what follows, then a position of that width each: one byte where all fit, else two,
// big-endian. All bits set are -1.
type dominants []int16

const (
	narrow = 1
	wide   = 2
	// noPosition is -1 in one byte; positions from here on need two.
	noPosition = 0xff
)

// BytesValue is for pgx.
func (d dominants) BytesValue() ([]byte, error) {
	packed := append(make([]byte, 0, 1+wide*len(d)), narrow)
	for _, v := range d {
		if v >= noPosition {
			return d.wide(), nil
		}
		packed = append(packed, byte(v))
	}
	return packed, nil
}

func (d dominants) wide() []byte {
	packed := append(make([]byte, 0, 1+wide*len(d)), wide)
	for _, v := range d {
		packed = binary.BigEndian.AppendUint16(packed, uint16(v))
	}
	return packed
}

// ScanBytes is for pgx; NULL gives nil.
func (d *dominants) ScanBytes(packed []byte) error {
	*d = nil
	if packed == nil {
		return nil
	}
	if len(packed) == 0 {
		return errPacked
	}
	width, rest := int(packed[0]), packed[1:]
	if width != narrow && width != wide || len(rest)%width != 0 {
		return errPacked
	}
	list := make(dominants, len(rest)/width)
	for i := range list {
		switch {
		case width == wide:
			list[i] = int16(binary.BigEndian.Uint16(rest[wide*i:]))
		case rest[i] == noPosition:
			list[i] = -1
		default:
			list[i] = int16(rest[i])
		}
	}
	*d = list
	return nil
}

var errPacked = errors.New("a stored thumbprint cannot be read: it is not in the form that this version writes")

// membershipOf and dominantOf read the parts of a thumbprint.
func membershipOf(t *engine.Thumbprint) *memberships { return (*memberships)(&t.Membership) }

func dominantOf(t *engine.Thumbprint) *dominants { return (*dominants)(&t.Dominant) }
