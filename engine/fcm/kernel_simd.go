//go:build goexperiment.simd && amd64

package fcm

import (
	"math"
	"simd/archsimd"
	"unsafe"
)

// The loops of kernel.go with 8 (AVX-512) or 4 (AVX2) rows at a time. The two
// widths are written out because vector types do not work as type parameters.
// No scalar arithmetic stands between vector instructions: the compiler encodes
// it the old way, which costs a merge of registers each time, so sums stay
// vectors until the chunk is done.

var (
	wideKernel   = kernel{wideDistances, wideShareTwo, widePower, wideAccumulate}
	narrowKernel = kernel{narrowDistances, narrowShareTwo, plainPower, narrowAccumulate}
)

// bestKernel asks the processor, since a binary travels.
func bestKernel() kernel {
	switch {
	case archsimd.X86.AVX512():
		return wideKernel
	case archsimd.X86.AVX2() && archsimd.X86.FMA():
		return narrowKernel
	}
	return plainKernel
}

const (
	wide   = panelRows / 8
	narrow = panelRows / 4
)

// wideLane is a lane seen as vectors; its length is known, so indexing is free.
type wideLane = [wide][8]float64

func wideLaneOf(values []float64, i int) *wideLane {
	return (*wideLane)(unsafe.Pointer(laneOf(values, i)))
}

func wideDistances(block, panel, centers []float64, d, k int) {
	for j := range k {
		out := wideLaneOf(block, j)
		center := centers[j*d : j*d+d]
		t := 0
		if d >= 4 {
			wideFirstFour(out, panel, center)
			t = 4
		} else {
			x0 := wideLaneOf(panel, 0)
			c0 := archsimd.BroadcastFloat64x8(center[0])
			for r := range out {
				e0 := archsimd.LoadFloat64x8(&x0[r]).Sub(c0)
				e0.Mul(e0).Store(&out[r])
			}
			t = 1
		}
		for ; t+4 <= d; t += 4 {
			wideNextFour(out, panel, center, t)
		}
		for ; t < d; t++ {
			x0 := wideLaneOf(panel, t)
			c0 := archsimd.BroadcastFloat64x8(center[t])
			for r := range out {
				e0 := archsimd.LoadFloat64x8(&x0[r]).Sub(c0)
				e0.MulAdd(e0, archsimd.LoadFloat64x8(&out[r])).Store(&out[r])
			}
		}
	}
	archsimd.ClearAVXUpperBits()
}

func wideFirstFour(out *wideLane, panel, center []float64) {
	c0, c1 := archsimd.BroadcastFloat64x8(center[0]), archsimd.BroadcastFloat64x8(center[1])
	c2, c3 := archsimd.BroadcastFloat64x8(center[2]), archsimd.BroadcastFloat64x8(center[3])
	x0, x1, x2, x3 := wideLaneOf(panel, 0), wideLaneOf(panel, 1), wideLaneOf(panel, 2), wideLaneOf(panel, 3)
	for r := range out {
		e0, e1 := archsimd.LoadFloat64x8(&x0[r]).Sub(c0), archsimd.LoadFloat64x8(&x1[r]).Sub(c1)
		e2, e3 := archsimd.LoadFloat64x8(&x2[r]).Sub(c2), archsimd.LoadFloat64x8(&x3[r]).Sub(c3)
		e3.MulAdd(e3, e2.MulAdd(e2, e1.MulAdd(e1, e0.Mul(e0)))).Store(&out[r])
	}
}

func wideNextFour(out *wideLane, panel, center []float64, t int) {
	c0, c1 := archsimd.BroadcastFloat64x8(center[t]), archsimd.BroadcastFloat64x8(center[t+1])
	c2, c3 := archsimd.BroadcastFloat64x8(center[t+2]), archsimd.BroadcastFloat64x8(center[t+3])
	x0, x1, x2, x3 := wideLaneOf(panel, t), wideLaneOf(panel, t+1), wideLaneOf(panel, t+2), wideLaneOf(panel, t+3)
	for r := range out {
		e0, e1 := archsimd.LoadFloat64x8(&x0[r]).Sub(c0), archsimd.LoadFloat64x8(&x1[r]).Sub(c1)
		e2, e3 := archsimd.LoadFloat64x8(&x2[r]).Sub(c2), archsimd.LoadFloat64x8(&x3[r]).Sub(c3)
		s := archsimd.LoadFloat64x8(&out[r])
		e3.MulAdd(e3, e2.MulAdd(e2, e1.MulAdd(e1, e0.MulAdd(e0, s)))).Store(&out[r])
	}
}

// wideReciprocal is the processor's estimate of 14 bits and two Newton steps,
// r <- r + r(1 - vr), each of which doubles the bits. A division takes four times as long.
func wideReciprocal(v, zero, one archsimd.Float64x8) archsimd.Float64x8 {
	negative := zero.Sub(v)
	r := v.Reciprocal()
	r = r.MulAdd(negative.MulAdd(r, one), r)
	return r.MulAdd(negative.MulAdd(r, one), r)
}

func wideShareTwo(block []float64, rowJ *lane, k int, squared bool) {
	rows := (*wideLane)(unsafe.Pointer(rowJ))
	least, one := archsimd.BroadcastFloat64x8(zeroDistance), archsimd.BroadcastFloat64x8(1)
	zero := one.Sub(one)
	for r := range rows {
		sum := zero
		for j := range k {
			at := &wideLaneOf(block, j)[r]
			e := wideReciprocal(archsimd.LoadFloat64x8(at).Max(least), zero, one)
			e.Store(at)
			sum = sum.Add(e)
		}
		wideReciprocal(sum, zero, one).Store(&rows[r])
	}
	for j := range k {
		out := wideLaneOf(block, j)
		if !squared {
			for r := range out {
				archsimd.LoadFloat64x8(&out[r]).Mul(archsimd.LoadFloat64x8(&rows[r])).Store(&out[r])
			}
			continue
		}
		for r := range out {
			u := archsimd.LoadFloat64x8(&out[r]).Mul(archsimd.LoadFloat64x8(&rows[r]))
			u.Mul(u).Store(&out[r])
		}
	}
	archsimd.ClearAVXUpperBits()
}

// powerSeries are, each repeated to a vector: l_0 and so on, where the logarithm to base 2 of f from sqrt(1/2) to sqrt(2)
// is z (l_0 + l_1 z^2 + ...) with z = (f-1)/(f+1), so l_i = 2 / ((2i+1) ln 2); then e_0 and so on, where 2^t for t from
// -1/2 to 1/2 is e_0 + e_1 t + ..., so e_i = (ln 2)^i / i!. What is left out is under 2^-55 of the sums.
var powerSeries = func() (s [logTerms + expTerms][8]float64) {
	e := 1.0
	for i := range s {
		v := 2 / (float64(2*i+1) * math.Ln2)
		if i >= logTerms {
			v = e
			e *= math.Ln2 / float64(i-logTerms+1)
		}
		for lane := range s[i] {
			s[i][lane] = v
		}
	}
	return s
}()

const (
	logTerms = 10
	expTerms = 14
	halfRoot = 0x3fe6a09e667f3bcd // the bits of sqrt(1/2)
	mantissa = 1<<52 - 1
)

// widePower takes the logarithm to base 2 of the bits' two halves, exponent and mantissa, and puts the power together
// from its whole part and its fraction.
func widePower(values *lane, power float64) {
	vectors := (*wideLane)(unsafe.Pointer(values))
	one, by := archsimd.BroadcastFloat64x8(1), archsimd.BroadcastFloat64x8(power)
	least, fraction := archsimd.BroadcastInt64x8(halfRoot), archsimd.BroadcastInt64x8(mantissa)
	for r := range vectors {
		bits := archsimd.LoadFloat64x8(&vectors[r]).AsInt64x8().Sub(least)
		f := bits.And(fraction).Add(least).AsFloat64x8()
		z := f.Sub(one).Div(f.Add(one))
		q := z.Mul(z)
		log := archsimd.LoadFloat64x8(&powerSeries[logTerms-1])
		for i := logTerms - 2; i >= 0; i-- {
			log = log.MulAdd(q, archsimd.LoadFloat64x8(&powerSeries[i]))
		}
		y := by.Mul(log.MulAdd(z, bits.ShiftAllRight(52).ConvertToFloat64()))
		n := y.RoundToEvenScaled(0)
		t := y.Sub(n)
		exp := archsimd.LoadFloat64x8(&powerSeries[logTerms+expTerms-1])
		for i := logTerms + expTerms - 2; i >= logTerms; i-- {
			exp = exp.MulAdd(t, archsimd.LoadFloat64x8(&powerSeries[i]))
		}
		exp.Scale(n).Store(&vectors[r])
	}
	archsimd.ClearAVXUpperBits()
}

func wideAccumulate(lanes, block, panel []float64, d, k int) {
	for j := range k {
		w := wideLaneOf(block, j)
		into := lanes[j*(d+1)*strands : (j+1)*(d+1)*strands]
		t := 0
		for ; t+4 <= d; t += 4 {
			wideFourProducts((*[4][strands]float64)(unsafe.Pointer(&into[t*strands])), w, panel, t)
		}
		for ; t < d; t++ {
			wideProduct((*[strands]float64)(into[t*strands:]), w, wideLaneOf(panel, t))
		}
		wideTotal((*[strands]float64)(into[d*strands:]), w)
	}
	archsimd.ClearAVXUpperBits()
}

func wideFourProducts(into *[4][strands]float64, w *wideLane, panel []float64, t int) {
	x0, x1, x2, x3 := wideLaneOf(panel, t), wideLaneOf(panel, t+1), wideLaneOf(panel, t+2), wideLaneOf(panel, t+3)
	a0, a1 := archsimd.LoadFloat64x8(&into[0]), archsimd.LoadFloat64x8(&into[1])
	a2, a3 := archsimd.LoadFloat64x8(&into[2]), archsimd.LoadFloat64x8(&into[3])
	u := archsimd.LoadFloat64x8(&w[0])
	b0, b1 := u.Mul(archsimd.LoadFloat64x8(&x0[0])), u.Mul(archsimd.LoadFloat64x8(&x1[0]))
	b2, b3 := u.Mul(archsimd.LoadFloat64x8(&x2[0])), u.Mul(archsimd.LoadFloat64x8(&x3[0]))
	u = archsimd.LoadFloat64x8(&w[1])
	a0, a1 = u.MulAdd(archsimd.LoadFloat64x8(&x0[1]), a0), u.MulAdd(archsimd.LoadFloat64x8(&x1[1]), a1)
	a2, a3 = u.MulAdd(archsimd.LoadFloat64x8(&x2[1]), a2), u.MulAdd(archsimd.LoadFloat64x8(&x3[1]), a3)
	for r := 2; r < wide-1; r += 2 {
		u, v := archsimd.LoadFloat64x8(&w[r]), archsimd.LoadFloat64x8(&w[r+1])
		a0 = u.MulAdd(archsimd.LoadFloat64x8(&x0[r]), a0)
		a1 = u.MulAdd(archsimd.LoadFloat64x8(&x1[r]), a1)
		a2 = u.MulAdd(archsimd.LoadFloat64x8(&x2[r]), a2)
		a3 = u.MulAdd(archsimd.LoadFloat64x8(&x3[r]), a3)
		b0 = v.MulAdd(archsimd.LoadFloat64x8(&x0[r+1]), b0)
		b1 = v.MulAdd(archsimd.LoadFloat64x8(&x1[r+1]), b1)
		b2 = v.MulAdd(archsimd.LoadFloat64x8(&x2[r+1]), b2)
		b3 = v.MulAdd(archsimd.LoadFloat64x8(&x3[r+1]), b3)
	}
	a0.Add(b0).Store(&into[0])
	a1.Add(b1).Store(&into[1])
	a2.Add(b2).Store(&into[2])
	a3.Add(b3).Store(&into[3])
}

func wideProduct(into *[strands]float64, w, x *wideLane) {
	a := archsimd.LoadFloat64x8(into)
	b := archsimd.LoadFloat64x8(&w[0]).Mul(archsimd.LoadFloat64x8(&x[0]))
	c := archsimd.LoadFloat64x8(&w[1]).Mul(archsimd.LoadFloat64x8(&x[1]))
	e := archsimd.LoadFloat64x8(&w[2]).Mul(archsimd.LoadFloat64x8(&x[2]))
	a = archsimd.LoadFloat64x8(&w[3]).MulAdd(archsimd.LoadFloat64x8(&x[3]), a)
	for r := 4; r < wide-3; r += 4 {
		a = archsimd.LoadFloat64x8(&w[r]).MulAdd(archsimd.LoadFloat64x8(&x[r]), a)
		b = archsimd.LoadFloat64x8(&w[r+1]).MulAdd(archsimd.LoadFloat64x8(&x[r+1]), b)
		c = archsimd.LoadFloat64x8(&w[r+2]).MulAdd(archsimd.LoadFloat64x8(&x[r+2]), c)
		e = archsimd.LoadFloat64x8(&w[r+3]).MulAdd(archsimd.LoadFloat64x8(&x[r+3]), e)
	}
	a.Add(b).Add(c.Add(e)).Store(into)
}

func wideTotal(into *[strands]float64, w *wideLane) {
	a := archsimd.LoadFloat64x8(into)
	b, c, e := archsimd.LoadFloat64x8(&w[0]), archsimd.LoadFloat64x8(&w[1]), archsimd.LoadFloat64x8(&w[2])
	a = a.Add(archsimd.LoadFloat64x8(&w[3]))
	for r := 4; r < wide-3; r += 4 {
		a = a.Add(archsimd.LoadFloat64x8(&w[r]))
		b = b.Add(archsimd.LoadFloat64x8(&w[r+1]))
		c = c.Add(archsimd.LoadFloat64x8(&w[r+2]))
		e = e.Add(archsimd.LoadFloat64x8(&w[r+3]))
	}
	a.Add(b).Add(c.Add(e)).Store(into)
}

type narrowLane = [narrow][4]float64

func narrowLaneOf(values []float64, i int) *narrowLane {
	return (*narrowLane)(unsafe.Pointer(laneOf(values, i)))
}

func narrowDistances(block, panel, centers []float64, d, k int) {
	for j := range k {
		out := narrowLaneOf(block, j)
		center := centers[j*d : j*d+d]
		t := 0
		if d >= 4 {
			narrowFirstFour(out, panel, center)
			t = 4
		} else {
			x0 := narrowLaneOf(panel, 0)
			c0 := archsimd.BroadcastFloat64x4(center[0])
			for r := range out {
				e0 := archsimd.LoadFloat64x4(&x0[r]).Sub(c0)
				e0.Mul(e0).Store(&out[r])
			}
			t = 1
		}
		for ; t+4 <= d; t += 4 {
			narrowNextFour(out, panel, center, t)
		}
		for ; t < d; t++ {
			x0 := narrowLaneOf(panel, t)
			c0 := archsimd.BroadcastFloat64x4(center[t])
			for r := range out {
				e0 := archsimd.LoadFloat64x4(&x0[r]).Sub(c0)
				e0.MulAdd(e0, archsimd.LoadFloat64x4(&out[r])).Store(&out[r])
			}
		}
	}
	archsimd.ClearAVXUpperBits()
}

func narrowFirstFour(out *narrowLane, panel, center []float64) {
	c0, c1 := archsimd.BroadcastFloat64x4(center[0]), archsimd.BroadcastFloat64x4(center[1])
	c2, c3 := archsimd.BroadcastFloat64x4(center[2]), archsimd.BroadcastFloat64x4(center[3])
	x0, x1, x2, x3 := narrowLaneOf(panel, 0), narrowLaneOf(panel, 1), narrowLaneOf(panel, 2), narrowLaneOf(panel, 3)
	for r := range out {
		e0, e1 := archsimd.LoadFloat64x4(&x0[r]).Sub(c0), archsimd.LoadFloat64x4(&x1[r]).Sub(c1)
		e2, e3 := archsimd.LoadFloat64x4(&x2[r]).Sub(c2), archsimd.LoadFloat64x4(&x3[r]).Sub(c3)
		e3.MulAdd(e3, e2.MulAdd(e2, e1.MulAdd(e1, e0.Mul(e0)))).Store(&out[r])
	}
}

func narrowNextFour(out *narrowLane, panel, center []float64, t int) {
	c0, c1 := archsimd.BroadcastFloat64x4(center[t]), archsimd.BroadcastFloat64x4(center[t+1])
	c2, c3 := archsimd.BroadcastFloat64x4(center[t+2]), archsimd.BroadcastFloat64x4(center[t+3])
	x0, x1, x2, x3 := narrowLaneOf(panel, t), narrowLaneOf(panel, t+1), narrowLaneOf(panel, t+2), narrowLaneOf(panel, t+3)
	for r := range out {
		e0, e1 := archsimd.LoadFloat64x4(&x0[r]).Sub(c0), archsimd.LoadFloat64x4(&x1[r]).Sub(c1)
		e2, e3 := archsimd.LoadFloat64x4(&x2[r]).Sub(c2), archsimd.LoadFloat64x4(&x3[r]).Sub(c3)
		s := archsimd.LoadFloat64x4(&out[r])
		e3.MulAdd(e3, e2.MulAdd(e2, e1.MulAdd(e1, e0.MulAdd(e0, s)))).Store(&out[r])
	}
}

// narrowShareTwo divides: AVX2 has no estimate of reciprocals in this precision.
func narrowShareTwo(block []float64, rowJ *lane, k int, squared bool) {
	rows := (*narrowLane)(unsafe.Pointer(rowJ))
	least, one := archsimd.BroadcastFloat64x4(zeroDistance), archsimd.BroadcastFloat64x4(1)
	zero := one.Sub(one)
	for r := range rows {
		sum := zero
		for j := range k {
			at := &narrowLaneOf(block, j)[r]
			e := one.Div(archsimd.LoadFloat64x4(at).Max(least))
			e.Store(at)
			sum = sum.Add(e)
		}
		one.Div(sum).Store(&rows[r])
	}
	for j := range k {
		out := narrowLaneOf(block, j)
		if !squared {
			for r := range out {
				archsimd.LoadFloat64x4(&out[r]).Mul(archsimd.LoadFloat64x4(&rows[r])).Store(&out[r])
			}
			continue
		}
		for r := range out {
			u := archsimd.LoadFloat64x4(&out[r]).Mul(archsimd.LoadFloat64x4(&rows[r]))
			u.Mul(u).Store(&out[r])
		}
	}
	archsimd.ClearAVXUpperBits()
}

func narrowAccumulate(lanes, block, panel []float64, d, k int) {
	for j := range k {
		w := narrowLaneOf(block, j)
		into := lanes[j*(d+1)*strands : (j+1)*(d+1)*strands]
		t := 0
		for ; t+4 <= d; t += 4 {
			narrowFourProducts((*[4][strands]float64)(unsafe.Pointer(&into[t*strands])), w, panel, t)
		}
		for ; t < d; t++ {
			narrowProduct((*[4]float64)(into[t*strands:]), w, narrowLaneOf(panel, t))
		}
		narrowTotal((*[4]float64)(into[d*strands:]), w)
	}
	archsimd.ClearAVXUpperBits()
}

func narrowFourProducts(into *[4][strands]float64, w *narrowLane, panel []float64, t int) {
	x0, x1, x2, x3 := narrowLaneOf(panel, t), narrowLaneOf(panel, t+1), narrowLaneOf(panel, t+2), narrowLaneOf(panel, t+3)
	a0, a1 := archsimd.LoadFloat64x4((*[4]float64)(into[0][:])), archsimd.LoadFloat64x4((*[4]float64)(into[1][:]))
	a2, a3 := archsimd.LoadFloat64x4((*[4]float64)(into[2][:])), archsimd.LoadFloat64x4((*[4]float64)(into[3][:]))
	u := archsimd.LoadFloat64x4(&w[0])
	b0, b1 := u.Mul(archsimd.LoadFloat64x4(&x0[0])), u.Mul(archsimd.LoadFloat64x4(&x1[0]))
	b2, b3 := u.Mul(archsimd.LoadFloat64x4(&x2[0])), u.Mul(archsimd.LoadFloat64x4(&x3[0]))
	u = archsimd.LoadFloat64x4(&w[1])
	a0, a1 = u.MulAdd(archsimd.LoadFloat64x4(&x0[1]), a0), u.MulAdd(archsimd.LoadFloat64x4(&x1[1]), a1)
	a2, a3 = u.MulAdd(archsimd.LoadFloat64x4(&x2[1]), a2), u.MulAdd(archsimd.LoadFloat64x4(&x3[1]), a3)
	for r := 2; r < narrow-1; r += 2 {
		u, v := archsimd.LoadFloat64x4(&w[r]), archsimd.LoadFloat64x4(&w[r+1])
		a0 = u.MulAdd(archsimd.LoadFloat64x4(&x0[r]), a0)
		a1 = u.MulAdd(archsimd.LoadFloat64x4(&x1[r]), a1)
		a2 = u.MulAdd(archsimd.LoadFloat64x4(&x2[r]), a2)
		a3 = u.MulAdd(archsimd.LoadFloat64x4(&x3[r]), a3)
		b0 = v.MulAdd(archsimd.LoadFloat64x4(&x0[r+1]), b0)
		b1 = v.MulAdd(archsimd.LoadFloat64x4(&x1[r+1]), b1)
		b2 = v.MulAdd(archsimd.LoadFloat64x4(&x2[r+1]), b2)
		b3 = v.MulAdd(archsimd.LoadFloat64x4(&x3[r+1]), b3)
	}
	a0.Add(b0).Store((*[4]float64)(into[0][:]))
	a1.Add(b1).Store((*[4]float64)(into[1][:]))
	a2.Add(b2).Store((*[4]float64)(into[2][:]))
	a3.Add(b3).Store((*[4]float64)(into[3][:]))
}

func narrowProduct(into *[4]float64, w, x *narrowLane) {
	a := archsimd.LoadFloat64x4(into)
	b := archsimd.LoadFloat64x4(&w[0]).Mul(archsimd.LoadFloat64x4(&x[0]))
	c := archsimd.LoadFloat64x4(&w[1]).Mul(archsimd.LoadFloat64x4(&x[1]))
	e := archsimd.LoadFloat64x4(&w[2]).Mul(archsimd.LoadFloat64x4(&x[2]))
	a = archsimd.LoadFloat64x4(&w[3]).MulAdd(archsimd.LoadFloat64x4(&x[3]), a)
	for r := 4; r < narrow-3; r += 4 {
		a = archsimd.LoadFloat64x4(&w[r]).MulAdd(archsimd.LoadFloat64x4(&x[r]), a)
		b = archsimd.LoadFloat64x4(&w[r+1]).MulAdd(archsimd.LoadFloat64x4(&x[r+1]), b)
		c = archsimd.LoadFloat64x4(&w[r+2]).MulAdd(archsimd.LoadFloat64x4(&x[r+2]), c)
		e = archsimd.LoadFloat64x4(&w[r+3]).MulAdd(archsimd.LoadFloat64x4(&x[r+3]), e)
	}
	a.Add(b).Add(c.Add(e)).Store(into)
}

func narrowTotal(into *[4]float64, w *narrowLane) {
	a := archsimd.LoadFloat64x4(into)
	b, c, e := archsimd.LoadFloat64x4(&w[0]), archsimd.LoadFloat64x4(&w[1]), archsimd.LoadFloat64x4(&w[2])
	a = a.Add(archsimd.LoadFloat64x4(&w[3]))
	for r := 4; r < narrow-3; r += 4 {
		a = a.Add(archsimd.LoadFloat64x4(&w[r]))
		b = b.Add(archsimd.LoadFloat64x4(&w[r+1]))
		c = c.Add(archsimd.LoadFloat64x4(&w[r+2]))
		e = e.Add(archsimd.LoadFloat64x4(&w[r+3]))
	}
	a.Add(b).Add(c.Add(e)).Store(into)
}
