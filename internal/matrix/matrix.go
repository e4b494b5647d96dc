// Package matrix reads tables of numbers: text with separators, and raw float64.
//
// Nothing is repaired or left out. A table is read whole, or there is an error of code INVALID that names the place.
package matrix

import (
	"runtime/debug"

	"github.com/quimbi/quimbi/engine"
)

// Matrix is a table of finite numbers.
type Matrix struct {
	N, D  int
	X     []float64 // n x d, row-major
	Names []string  // of the columns; nil where the file has none
}

const (
	// blockSize is how many numbers stand in one piece while their count is not known (1 MB).
	blockSize = 128 << 10
	// blocksAtOnce are given back together: memory is needed once for all numbers, and for these.
	blocksAtOnce = 16
)

// blocks collects numbers whose count is not known, without moving those it has: a slice that grows would be copied again
// and again, and would end up with room that nothing uses.
type blocks struct {
	full [][]float64
	last []float64
}

func (b *blocks) add(v float64) {
	if len(b.last) == cap(b.last) {
		if b.last != nil {
			b.full = append(b.full, b.last)
		}
		b.last = make([]float64, 0, blockSize)
	}
	b.last = append(b.last, v)
}

// join gives the numbers in one piece and lets go of the blocks.
func (b *blocks) join() []float64 {
	all := make([]float64, 0, len(b.full)*blockSize+len(b.last))
	for i, block := range b.full {
		all = append(all, block...)
		if b.full[i] = nil; (i+1)%blocksAtOnce == 0 {
			debug.FreeOSMemory()
		}
	}
	all = append(all, b.last...)
	*b = blocks{}
	return all
}

func invalid(format string, args ...any) error {
	return engine.Errorf(engine.CodeInvalid, format, args...)
}
