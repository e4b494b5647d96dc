package postgres

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"
)

// What the loop reads is what the driver's own codec reads, from whatever the server may send.
func TestSmallintsAreReadAsByTheDriver(t *testing.T) {
	t.Parallel()
	types := pgtype.NewMap()
	plain, _ := types.TypeForOID(pgtype.Int2ArrayOID)
	ours := smallintArrays{plain.Codec}
	rapid.Check(t, func(t *rapid.T) {
		var src []byte
		switch rapid.SampledFrom([]string{"list", "null", "nulls", "square", "bytes"}).Draw(t, "kind") {
		case "list":
			src = encode(t, types, rapid.SliceOf(rapid.Int16()).Draw(t, "list"))
		case "nulls":
			src = encode(t, types, []*int16{nil, new(int16)})
		case "square":
			src = encode(t, types, pgtype.Array[int16]{Elements: []int16{1, 2, 3, 4}, Dims: []pgtype.ArrayDimension{{Length: 2, LowerBound: 1}, {Length: 2, LowerBound: 1}}, Valid: true})
		case "bytes":
			src = rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")
		}
		var got, want []int16
		gotErr := ours.PlanScan(types, pgtype.Int2ArrayOID, pgtype.BinaryFormatCode, &got).Scan(src, &got)
		wantErr := types.Scan(pgtype.Int2ArrayOID, pgtype.BinaryFormatCode, src, &want)
		if (gotErr == nil) != (wantErr == nil) || gotErr == nil && (!slices.Equal(got, want) || (got == nil) != (want == nil)) {
			t.Fatalf("%x is read as %v, %v; the driver reads %v, %v", src, got, gotErr, want, wantErr)
		}
	})
}

func encode(t *rapid.T, types *pgtype.Map, list any) []byte {
	t.Helper()
	src, err := types.Encode(pgtype.Int2ArrayOID, pgtype.BinaryFormatCode, list, nil)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func BenchmarkSmallints(b *testing.B) {
	types := pgtype.NewMap()
	plain, _ := types.TypeForOID(pgtype.Int2ArrayOID)
	src, err := types.Encode(pgtype.Int2ArrayOID, pgtype.BinaryFormatCode, make([]int16, 110), nil)
	if err != nil {
		b.Fatal(err)
	}
	var list []int16
	for name, plan := range map[string]pgtype.ScanPlan{
		"driver": types.PlanScan(pgtype.Int2ArrayOID, pgtype.BinaryFormatCode, &list),
		"loop":   smallintArrays{plain.Codec}.PlanScan(types, pgtype.Int2ArrayOID, pgtype.BinaryFormatCode, &list),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := plan.Scan(src, &list); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
