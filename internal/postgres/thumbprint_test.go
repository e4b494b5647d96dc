package postgres

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func packed(t *rapid.T, v interface{ BytesValue() ([]byte, error) }) []byte {
	b, err := v.BytesValue()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is packed is read as it was, and nothing else is taken for a thumbprint or makes the reader panic.
func TestThumbprintsArePacked(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := memberships(rapid.SliceOfN(rapid.Int16Range(-1, 10_000), 0, 300).Draw(t, "memberships"))
		var readM memberships
		if err := readM.ScanBytes(packed(t, m)); err != nil || !slices.Equal(readM, m) {
			t.Fatalf("%v is read as %v, %v", m, readM, err)
		}
		most := rapid.SampledFrom([]int16{0, 253, 254, 255, 256, 3000}).Draw(t, "most")
		d := dominants(rapid.SliceOfN(rapid.Int16Range(-1, most), 1, 14).Draw(t, "dominants"))
		bytes := packed(t, d)
		var readD dominants
		if err := readD.ScanBytes(bytes); err != nil || !slices.Equal(readD, d) {
			t.Fatalf("%v is read as %v, %v", d, readD, err)
		}
		if want := 1 + len(d); slices.Max(d) < 255 && len(bytes) != want {
			t.Fatalf("%v takes %d bytes, want %d", d, len(bytes), want)
		}
		noise := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "noise")
		if err := readD.ScanBytes(noise); err == nil && len(noise) > 0 && (len(noise)-1)/int(noise[0]) != len(readD) {
			t.Fatalf("%x is read as %v", noise, readD)
		}
		if err := readM.ScanBytes(noise); err == nil != (len(noise)%2 == 0) {
			t.Fatalf("%x is read as %v, %v", noise, readM, err)
		}
	})
	for _, bad := range [][]byte{{}, {0, 1}, {3, 1, 2, 3}, {2, 1}} {
		var d dominants
		if err := d.ScanBytes(bad); err == nil {
			t.Errorf("%x is read as %v", bad, d)
		}
	}
}
