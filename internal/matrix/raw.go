package matrix

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
)

const (
	numberSize = 8
	// largestRaw bounds the size of a raw matrix (8 TiB), so that its length in bytes is a number.
	largestRaw = 1 << 40
)

// ParseShape reads the shape of a raw matrix, rows and columns as in 150,4.
func ParseShape(text string) (n, d int, err error) {
	rows, columns, found := strings.Cut(text, ",")
	n, err1 := strconv.Atoi(strings.TrimSpace(rows))
	d, err2 := strconv.Atoi(strings.TrimSpace(columns))
	if !found || err1 != nil || err2 != nil || n < 1 || d < 1 {
		return 0, 0, invalid("a raw matrix has rows and columns, as in 150,4, not %q", text)
	}
	if n > math.MaxInt32 || d > largestRaw/n {
		return 0, 0, invalid("%d rows of %d columns are more than a matrix can have", n, d)
	}
	return n, d, nil
}

// ReadRaw reads n rows of d columns of little-endian float64, row by row and nothing else. size is the length of the source in
// bytes, -1 where it is not known: then the shape alone makes it reserve no memory.
func ReadRaw(ctx context.Context, in io.Reader, n, d int, size int64) (*Matrix, error) {
	want := int64(n) * int64(d) * numberSize
	if size >= 0 && size != want {
		return nil, invalid("the file has %d bytes, but %d rows of %d columns of 8 bytes are %d", size, n, d, want)
	}
	var numbers blocks
	if size >= 0 {
		numbers.last = make([]float64, 0, n*d)
	}
	buffer := make([]byte, bufferSize)
	for read := int64(0); ; {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		got, err := io.ReadFull(in, buffer)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return nil, unreadable(err)
		}
		if read+int64(got) > want {
			return nil, invalid("the file goes on after %d bytes, which are %d rows of %d columns of 8 bytes", want, n, d)
		}
		for at := 0; at+numberSize <= got; at += numberSize {
			v := math.Float64frombits(binary.LittleEndian.Uint64(buffer[at:]))
			if math.IsNaN(v) || math.IsInf(v, 0) {
				index := (read + int64(at)) / numberSize
				return nil, invalid("row %d, column %d is %v, which is no finite number: fill it, or leave the row or the column out", index/int64(d)+1, index%int64(d)+1, v)
			}
			numbers.add(v)
		}
		read += int64(got)
		if !ended {
			continue
		}
		if read < want {
			return nil, invalid("the file ends after %d bytes, but %d rows of %d columns of 8 bytes are %d", read, n, d, want)
		}
		if size >= 0 {
			return &Matrix{N: n, D: d, X: numbers.last}, nil
		}
		return &Matrix{N: n, D: d, X: numbers.join()}, nil
	}
}
