// Package linesort puts lines in the order of a key and a number, such as customer and time, in bounded memory. It knows no database.
package linesort

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/quimbi/quimbi/engine"
)

// A run is sorted in memory: so many lines, and so many bytes of rows.
const (
	runLines = 1 << 17
	runBytes = 12 << 20
)

// runBuffer is how much of a run is read or written at once.
const runBuffer = 1 << 16

// Line is a line with its row in the form in which it is to be written.
type Line struct {
	Key    string // by which lines are gathered: a customer, an order
	At     int64  // microseconds since 1970, or any number that orders the lines of a key
	Value  int64  // cents, less what was refunded
	Bought bool   // of positive quantity
	Row    []byte
}

// Sorter puts the lines of an import in the order of key and time, in bounded memory whatever their number: runs are
// sorted in memory and, if there are several, written to a temporary file and merged (Knuth, The Art of Computer Programming 3,
// 2nd edition, 5.4). Lines of equal key and time keep the order in which they came. The server would do it too, but
// with every row taken apart, copied and put together once more.
type Sorter struct {
	maxLines, maxBytes int // of a run

	rows    []byte // of the run
	lines   []runLine
	numbers map[string]int32 // of the run's keys
	keys    []string
	last    int32 // the key of the line before

	file *os.File // nil for one run
	ends []int64  // of the runs in the file
}

// runLine is a line of the run in memory.
type runLine struct {
	at     int64 // microseconds since 1970
	value  int64 // cents, less what was refunded
	key    int32
	start  uint32 // of its row
	size   uint32
	bought bool // of positive quantity
}

// New makes one with the usual bounds.
func New() *Sorter {
	return &Sorter{maxLines: runLines, maxBytes: runBytes, numbers: map[string]int32{}}
}

// Close removes what was written to the disk.
func (s *Sorter) Close() {
	if s.file != nil {
		s.file.Close()
	}
}

// Add takes a line in; Row is copied.
func (s *Sorter) Add(l *Line) error {
	if len(s.lines) == s.maxLines || len(s.rows) >= s.maxBytes {
		if err := s.spill(); err != nil {
			return err
		}
	}
	if len(s.keys) == 0 || s.keys[s.last] != l.Key {
		number, known := s.numbers[l.Key]
		if !known {
			number = int32(len(s.keys))
			s.numbers[l.Key] = number
			s.keys = append(s.keys, l.Key)
		}
		s.last = number
	}
	start := len(s.rows)
	s.rows = append(s.rows, l.Row...)
	s.lines = append(s.lines, runLine{at: l.At, value: l.Value, key: s.last, start: uint32(start), size: uint32(len(l.Row)), bought: l.Bought})
	return nil
}

// sort puts the run in memory in order. Keys are compared by their texts once each, lines by numbers.
func (s *Sorter) sort() {
	sorted := make([]int32, len(s.keys))
	for i := range sorted {
		sorted[i] = int32(i)
	}
	slices.SortFunc(sorted, func(x, y int32) int { return strings.Compare(s.keys[x], s.keys[y]) })
	ranks, names := make([]int32, len(sorted)), make([]string, len(sorted))
	for rank, number := range sorted {
		ranks[number], names[rank] = int32(rank), s.keys[number]
	}
	s.keys = names
	for i := range s.lines {
		s.lines[i].key = ranks[s.lines[i].key]
	}
	slices.SortFunc(s.lines, func(x, y runLine) int {
		switch {
		case x.key != y.key:
			return cmp.Compare(x.key, y.key)
		case x.at != y.at:
			return cmp.Compare(x.at, y.at)
		default:
			return cmp.Compare(x.start, y.start)
		}
	})
}

// sameKey stands for the length of a key's text where it is that of the line before.
const sameKey = 1<<32 - 1

// headSize is the length of what stands before the texts of a line in the file: lengths of key and row, time, value, bought.
const headSize = 4 + 4 + 8 + 8 + 1

// spill writes the run in memory to the file and begins another one.
func (s *Sorter) spill() error {
	s.sort()
	if s.file == nil {
		file, err := os.CreateTemp("", "quimbi-import-*")
		if err != nil {
			return noRoom(err)
		}
		s.file = file
		// Without a name it is gone with the process, however that ends.
		if err := os.Remove(file.Name()); err != nil {
			return noRoom(err)
		}
	}
	out := bufio.NewWriterSize(s.file, runBuffer)
	end := int64(0)
	if len(s.ends) > 0 {
		end = s.ends[len(s.ends)-1]
	}
	var head [headSize]byte
	last := int32(-1)
	for i := range s.lines {
		l := &s.lines[i]
		key, length := "", uint32(sameKey)
		if l.key != last {
			last, key = l.key, s.keys[l.key]
			length = uint32(len(key))
		}
		b := binary.LittleEndian.AppendUint32(head[:0], length)
		b = binary.LittleEndian.AppendUint32(b, l.size)
		b = binary.LittleEndian.AppendUint64(b, uint64(l.at))
		b = binary.LittleEndian.AppendUint64(b, uint64(l.value))
		b = append(b, 0)
		if l.bought {
			b[headSize-1] = 1
		}
		_, _ = out.Write(b) // it keeps its first error
		_, _ = out.WriteString(key)
		_, _ = out.Write(s.rows[l.start : l.start+l.size])
		end += int64(headSize + len(key) + int(l.size))
	}
	if err := out.Flush(); err != nil {
		return noRoom(err)
	}
	s.ends = append(s.ends, end)
	clear(s.numbers)
	s.rows, s.lines, s.keys, s.last = s.rows[:0], s.lines[:0], nil, 0
	return nil
}

func noRoom(err error) error {
	return engine.Errorf(engine.CodeUnavailable, "a file of this size is sorted in a temporary file in %s, which cannot be written (TMPDIR names another folder): %v", os.TempDir(), err)
}

// Sorted gives a way through all lines in order, after the last Add; it may be gone several times. A line holds until the next one.
func (s *Sorter) Sorted() func(visit func(*Line) error) error {
	s.sort()
	return func(visit func(*Line) error) error {
		var runs runHeap
		begin := int64(0)
		for i, end := range s.ends {
			runs = append(runs, &run{number: i, from: &fileRun{in: bufio.NewReaderSize(io.NewSectionReader(s.file, begin, end-begin), runBuffer)}})
			begin = end
		}
		runs = append(runs, &run{number: len(s.ends), from: &memoryRun{sorter: s}})
		return runs.merge(visit)
	}
}

// run is a sorted run at one of its lines.
type run struct {
	line   Line
	number int
	from   interface{ next(*Line) error } // io.EOF after the last line
}

// runHeap has the run with the foremost line on top.
type runHeap []*run

func (h runHeap) Len() int      { return len(h) }
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h runHeap) Less(i, j int) bool {
	x, y := h[i], h[j]
	switch {
	case x.line.Key != y.line.Key:
		return x.line.Key < y.line.Key
	case x.line.At != y.line.At:
		return x.line.At < y.line.At
	default:
		return x.number < y.number
	}
}
func (h *runHeap) Push(x any) { *h = append(*h, x.(*run)) }

func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (h runHeap) merge(visit func(*Line) error) error {
	var begun runHeap
	for _, r := range h {
		switch err := r.from.next(&r.line); {
		case err == nil:
			begun = append(begun, r)
		case !errors.Is(err, io.EOF):
			return err
		}
	}
	h = begun
	heap.Init(&h)
	for len(h) > 0 {
		if err := visit(&h[0].line); err != nil {
			return err
		}
		switch err := h[0].from.next(&h[0].line); {
		case err == nil:
			heap.Fix(&h, 0)
		case errors.Is(err, io.EOF):
			heap.Pop(&h)
		default:
			return err
		}
	}
	return nil
}

// memoryRun is the run in memory.
type memoryRun struct {
	sorter *Sorter
	done   int
}

func (r *memoryRun) next(l *Line) error {
	s := r.sorter
	if r.done == len(s.lines) {
		return io.EOF
	}
	from := &s.lines[r.done]
	r.done++
	*l = Line{Key: s.keys[from.key], At: from.at, Value: from.value, Bought: from.bought, Row: s.rows[from.start : from.start+from.size]}
	return nil
}

// fileRun is a run in the file.
type fileRun struct {
	in   *bufio.Reader
	head [headSize]byte
	text []byte
}

func (r *fileRun) next(l *Line) error {
	if _, err := io.ReadFull(r.in, r.head[:]); err != nil {
		return err
	}
	key, row := binary.LittleEndian.Uint32(r.head[:]), int(binary.LittleEndian.Uint32(r.head[4:]))
	l.At, l.Value = int64(binary.LittleEndian.Uint64(r.head[8:])), int64(binary.LittleEndian.Uint64(r.head[16:]))
	l.Bought = r.head[headSize-1] == 1
	if key != sameKey {
		if err := r.read(int(key)); err != nil {
			return err
		}
		l.Key = string(r.text)
	}
	err := r.read(row)
	l.Row = r.text
	return err
}

// read puts the next n bytes into text.
func (r *fileRun) read(n int) error {
	r.text = slices.Grow(r.text[:0], n)[:n]
	if _, err := io.ReadFull(r.in, r.text); err != nil {
		return io.ErrUnexpectedEOF // the file ends within a line
	}
	return nil
}
