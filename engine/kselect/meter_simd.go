//go:build goexperiment.simd && amd64

package kselect

import "simd/archsimd"

// The loops of meter.go in float32 with 16 (AVX-512) or 8 (AVX2) columns at a time, four rows in one pass. The two
// widths are written out because vector types do not work as type parameters.

const (
	wide   = 16
	narrow = 8
)

// vectorMeter asks the processor, since a binary travels; nil where it has neither.
func vectorMeter() (vectors func(m *meter, left, right *tile), width int) {
	switch {
	case archsimd.X86.AVX512():
		return betweenWide, wide
	case archsimd.X86.AVX2() && archsimd.X86.FMA():
		return betweenNarrow, narrow
	}
	return nil, 0
}

func betweenWide(m *meter, left, right *tile) {
	vectors := (right.n + wide - 1) / wide
	for r := 0; r < left.n; r += rowsAtOnce {
		spread := m.spreadRows[r*m.d*wide : (r+rowsAtOnce)*m.d*wide]
		zero := archsimd.LoadFloat32x16((*[wide]float32)(m.constants[zeros:]))
		half := archsimd.LoadFloat32x16((*[wide]float32)(m.constants[minusHalves:]))
		least := archsimd.LoadFloat32x16((*[wide]float32)(m.constants[leasts:]))
		use1 := archsimd.LoadFloat32x16((*[wide]float32)(m.constants[used(r+1, left.n):]))
		use2 := archsimd.LoadFloat32x16((*[wide]float32)(m.constants[used(r+2, left.n):]))
		use3 := archsimd.LoadFloat32x16((*[wide]float32)(m.constants[used(r+3, left.n):]))
		t0, t1, t2, t3 := zero, zero, zero, zero
		for v := range vectors {
			s0, s1, s2, s3 := zero, zero, zero, zero
			columns, values := right.vectors[v*wide:], spread
			for len(values) >= rowsAtOnce*wide && len(columns) >= wide {
				x := archsimd.LoadFloat32x16((*[wide]float32)(columns))
				e0 := x.Sub(archsimd.LoadFloat32x16((*[wide]float32)(values)))
				e1 := x.Sub(archsimd.LoadFloat32x16((*[wide]float32)(values[wide:])))
				e2 := x.Sub(archsimd.LoadFloat32x16((*[wide]float32)(values[2*wide:])))
				e3 := x.Sub(archsimd.LoadFloat32x16((*[wide]float32)(values[3*wide:])))
				s0, s1, s2, s3 = e0.MulAdd(e0, s0), e1.MulAdd(e1, s1), e2.MulAdd(e2, s2), e3.MulAdd(e3, s3)
				values = values[rowsAtOnce*wide:]
				if len(columns) < tileRows {
					break
				}
				columns = columns[tileRows:]
			}
			d0, d1, d2, d3 := rootWide(s0, half, least), rootWide(s1, half, least), rootWide(s2, half, least), rootWide(s3, half, least)
			weight := archsimd.LoadFloat32x16((*[wide]float32)(m.weights[v*wide:]))
			t0, t1, t2, t3 = d0.MulAdd(weight, t0), d1.MulAdd(weight, t1), d2.MulAdd(weight, t2), d3.MulAdd(weight, t3)
			sums := (*[wide]float32)(m.columnTotals[v*wide:])
			archsimd.LoadFloat32x16(sums).Add(d1.MulAdd(use1, d0).Add(d2.MulAdd(use2, d3.Mul(use3)))).Store(sums)
		}
		h0, h1 := t0.GetLo().Add(t0.GetHi()), t1.GetLo().Add(t1.GetHi())
		h2, h3 := t2.GetLo().Add(t2.GetHi()), t3.GetLo().Add(t3.GetHi())
		h := h0.AddPairsGrouped(h1).AddPairsGrouped(h2.AddPairsGrouped(h3))
		h.GetLo().Add(h.GetHi()).StoreSlice(m.rowTotals[r:])
	}
	archsimd.ClearAVXUpperBits()
}

// rootWide is sqrt(s) by the processor's estimate of 1/sqrt(s), of 14 bits, and one Newton step, which doubles them:
// with y the estimate and g = s*y, g - y/2 (g^2 - s). A square root itself would take most of the time.
func rootWide(s, minusHalf, least archsimd.Float32x16) archsimd.Float32x16 {
	y := s.Max(least).ReciprocalSqrt()
	g := s.Mul(y)
	rest := g.Mul(g).Sub(s)
	return rest.MulAdd(y.Mul(minusHalf), g)
}

func betweenNarrow(m *meter, left, right *tile) {
	vectors := (right.n + narrow - 1) / narrow
	for r := 0; r < left.n; r += rowsAtOnce {
		spread := m.spreadRows[r*m.d*narrow : (r+rowsAtOnce)*m.d*narrow]
		zero := archsimd.LoadFloat32x8((*[narrow]float32)(m.constants[zeros:]))
		use1 := archsimd.LoadFloat32x8((*[narrow]float32)(m.constants[used(r+1, left.n):]))
		use2 := archsimd.LoadFloat32x8((*[narrow]float32)(m.constants[used(r+2, left.n):]))
		use3 := archsimd.LoadFloat32x8((*[narrow]float32)(m.constants[used(r+3, left.n):]))
		t0, t1, t2, t3 := zero, zero, zero, zero
		for v := range vectors {
			s0, s1, s2, s3 := zero, zero, zero, zero
			columns, values := right.vectors[v*narrow:], spread
			for len(values) >= rowsAtOnce*narrow && len(columns) >= narrow {
				x := archsimd.LoadFloat32x8((*[narrow]float32)(columns))
				e0 := x.Sub(archsimd.LoadFloat32x8((*[narrow]float32)(values)))
				e1 := x.Sub(archsimd.LoadFloat32x8((*[narrow]float32)(values[narrow:])))
				e2 := x.Sub(archsimd.LoadFloat32x8((*[narrow]float32)(values[2*narrow:])))
				e3 := x.Sub(archsimd.LoadFloat32x8((*[narrow]float32)(values[3*narrow:])))
				s0, s1, s2, s3 = e0.MulAdd(e0, s0), e1.MulAdd(e1, s1), e2.MulAdd(e2, s2), e3.MulAdd(e3, s3)
				values = values[rowsAtOnce*narrow:]
				if len(columns) < tileRows {
					break
				}
				columns = columns[tileRows:]
			}
			d0, d1, d2, d3 := s0.Sqrt(), s1.Sqrt(), s2.Sqrt(), s3.Sqrt()
			weight := archsimd.LoadFloat32x8((*[narrow]float32)(m.weights[v*narrow:]))
			t0, t1, t2, t3 = d0.MulAdd(weight, t0), d1.MulAdd(weight, t1), d2.MulAdd(weight, t2), d3.MulAdd(weight, t3)
			sums := (*[narrow]float32)(m.columnTotals[v*narrow:])
			archsimd.LoadFloat32x8(sums).Add(d1.MulAdd(use1, d0).Add(d2.MulAdd(use2, d3.Mul(use3)))).Store(sums)
		}
		h := t0.AddPairsGrouped(t1).AddPairsGrouped(t2.AddPairsGrouped(t3))
		h.GetLo().Add(h.GetHi()).StoreSlice(m.rowTotals[r:])
	}
	archsimd.ClearAVXUpperBits()
}

// used is where the constants hold 1 for a row of the left tile and 0 beyond its last.
func used(row, n int) int {
	if row < n {
		return ones
	}
	return zeros
}
