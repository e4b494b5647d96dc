package matrix_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/matrix"
)

func TestReadCSV(t *testing.T) {
	t.Parallel()
	two := []float64{1, -2.5, 3e3, 0.25}
	for _, test := range []struct {
		name, text string
		x          []float64
		d          int
		names      []string
	}{
		{"no header", "1,-2.5\n3e3,.25\n", two, 2, nil},
		{"header", "a,b\n1,-2.5\n3e3,.25\n", two, 2, []string{"a", "b"}},
		{"header of one text", "2024,b\n1,-2.5\n3e3,.25\n", two, 2, []string{"2024", "b"}},
		{"header with an empty name", ",b\n1,-2.5\n3e3,.25\n", two, 2, []string{"", "b"}},
		{"no line end at the end", "1,-2.5\n3e3,.25", two, 2, nil},
		{"Windows", "\uFEFFa,b\r\n1,-2.5\r\n3e3,.25\r\n\r\n", two, 2, []string{"a", "b"}},
		{"quotation marks", "\"a \"\"x\"\", cm\",b\n\"1\",\"-2.5\"\n \"3e3\" , .25 \n", two, 2, []string{`a "x", cm`, "b"}},
		{"semicolons", "a;b\n1;-2.5\n3e3;+0.25\n", two, 2, []string{"a", "b"}},
		{"semicolons around quoted commas", "\"a,a\";b\n1;-2.5\n3e3;.25\n", two, 2, []string{"a,a", "b"}},
		{"tabs", "1\t-2.5\n3e3\t.25\n", two, 2, nil},
		{"tabs and blanks", "a\tb\n1 \t -2.5\n3e3\t.25\n", two, 2, []string{"a", "b"}},
		{"a comma counts first", "a,b (x; y)\n1,-2.5\n3e3,.25\n", two, 2, []string{"a", "b (x; y)"}},
		{"one column", "1\n-2.5\n3e3\n0.25\n\n\n", two, 1, nil},
		{"one row", "1,-2.5,3e3,.25", two, 4, nil},
		{"smallest and largest", "5e-324,1.7976931348623157e308\n1e-400,-0\n", []float64{5e-324, math.MaxFloat64, 0, math.Copysign(0, -1)}, 2, nil},
	} {
		m, err := matrix.ReadCSV(t.Context(), strings.NewReader(test.text))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		want := &matrix.Matrix{N: len(test.x) / test.d, D: test.d, X: test.x, Names: test.names}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestRefusedCSV(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "is empty"},
		{"nothing but lines", "\n\r\n", "is empty"},
		{"header alone", "a,b\n", `because "a" is not a number`},
		{"a line too short", "1,2\n3\n", "line 2 has 1 value, but line 1 has 2"},
		{"a line too long", "a,b\n1,2\n3,4,5,6\n", "line 3 has 4 values, but line 1 has 2"},
		{"text", "a,b\n1,2\n3,x\n", `line 3, column 2 ("b") is "x", which is not a number`},
		{"a column of names", "name,a\nAnn,1\n", `line 2, column 1 ("name") is "Ann"`},
		{"empty", "1,2\n3,\n", "line 2, column 2 is empty"},
		{"empty in quotation marks", "1,2\n\"\",4\n", "line 2, column 1 is empty"},
		{"empty in the first line is no header", "1,,3\n4,5,6\n", "line 1, column 2 is empty"},
		{"NaN in the first line is no header", "1,NaN\n2,3\n", `line 1, column 2 is "NaN", which is no finite number`},
		{"infinite", "1,2\n-Inf,3\n", `line 2, column 1 is "-Inf", which is no finite number`},
		{"missing", "1,2\nNA,3\n", `line 2, column 1 is "NA", which is no finite number`},
		{"too large in the first line", "1e400,2\n", "line 1, column 1 is \"1e400\", which is beyond"},
		{"too large", "1,2\n1,-1e999\n", "line 2, column 2 is \"-1e999\", which is beyond"},
		{"hexadecimal", "1,2\n0x10,3\n", `line 2, column 1 is "0x10", which is not a number`},
		{"underscore", "1,2\n1_000,3\n", `line 2, column 1 is "1_000", which is not a number`},
		{"decimal commas", "1,5;2,5\n3,5;4,5\n", "decimals stand behind a point"},
		{"decimal commas between tabs", "a\tb\n1,5\t2\n", "decimals stand behind a point"},
		{"semicolons and tabs", "1;2\t3\n", "either could separate"},
		{"line without end", "1,\"2\n3,4\n", "line 1 has a quotation mark that is not closed"},
		{"text behind quotation marks", "1,2\n\"1\"2,3\n", "line 2 goes on behind"},
		{"an empty line within", "1\n2\n\n3\n", "line 3 is empty"},
		{"an empty line at the start", "\n1\n", "line 1 is empty"},
		{"old line ends", "1,2\r3,4\r", "no rows below the header"},
		{"a long value is cut", "1\n" + strings.Repeat("x", 1000) + "\n", `x" ..., which is not`},
	} {
		m, err := matrix.ReadCSV(t.Context(), strings.NewReader(test.text))
		if err == nil {
			t.Errorf("%s: read as %v", test.name, m)
			continue
		}
		if engine.CodeOf(err) != engine.CodeInvalid || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %s error %q, want one with %q", test.name, engine.CodeOf(err), err, test.want)
		}
	}
}

// A source that breaks off is not a shorter file.
func TestBrokenSource(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	_, err := matrix.ReadCSV(t.Context(), io.MultiReader(strings.NewReader("1,2\n3,4\n"), iotest.ErrReader(broken)))
	if engine.CodeOf(err) != engine.CodeInvalid || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("CSV: %v", err)
	}
	_, err = matrix.ReadRaw(t.Context(), io.MultiReader(bytes.NewReader(make([]byte, 16)), iotest.ErrReader(broken)), 2, 1, 16)
	if engine.CodeOf(err) != engine.CodeInvalid || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("raw: %v", err)
	}
}

func raw(x ...float64) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func TestRefusedRaw(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"too short", raw(1, 2, 3), "24 bytes"},
		{"too long", raw(1, 2, 3, 4, 5), "32"},
		{"part of a number", raw(1, 2, 3, 4)[:31], "31 bytes"},
		{"a byte more", append(raw(1, 2, 3, 4), 0), "32"},
		{"nothing", nil, "0 bytes"},
		{"not a number", raw(1, 2, 3, math.NaN()), "row 2, column 2 is NaN"},
		{"infinite", raw(1, math.Inf(-1), 3, 4), "row 1, column 2 is -Inf"},
	} {
		for _, size := range []int64{-1, int64(len(test.data))} {
			_, err := matrix.ReadRaw(t.Context(), bytes.NewReader(test.data), 2, 2, size)
			if engine.CodeOf(err) != engine.CodeInvalid || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s, size given as %d: %v, want an error with %q", test.name, size, err, test.want)
			}
		}
	}
	for _, shape := range []string{"", "3", "3,", "3;4", "0,4", "4,0", "-1,2", "3,4,5", "1e3,2", "4294967296,1", "2147483647,2147483647", "99999999999999999999,1"} {
		if n, d, err := matrix.ParseShape(shape); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("shape %q: %d, %d, %v", shape, n, d, err)
		}
	}
}

// More than one block, a long line, and a source that gives a byte at a time.
func TestLargerThanBuffers(t *testing.T) {
	t.Parallel()
	const n, d = 9, 40_000
	x := make([]float64, n*d)
	var text strings.Builder
	for i := range x {
		x[i] = math.Sqrt(float64(i)) * 1e-3
		text.WriteString(strconv.FormatFloat(x[i], 'g', -1, 64))
		if i%d == d-1 {
			text.WriteByte('\n')
		} else {
			text.WriteByte(',')
		}
	}
	m, err := matrix.ReadCSV(t.Context(), strings.NewReader(text.String()))
	if err != nil || m.N != n || m.D != d || !slices.Equal(m.X, x) {
		t.Errorf("CSV: another matrix, or %v", err)
	}
	x = slices.Repeat(x, 6) // over 16 blocks
	m, err = matrix.ReadRaw(t.Context(), bytes.NewReader(raw(x...)), 6*n, d, -1)
	if err != nil || !slices.Equal(m.X, x) {
		t.Errorf("raw: another matrix, or %v", err)
	}
	m, err = matrix.ReadCSV(t.Context(), iotest.OneByteReader(strings.NewReader("1,2\n3,4\n")))
	if err != nil || !slices.Equal(m.X, []float64{1, 2, 3, 4}) {
		t.Errorf("byte by byte: %v, %v", m, err)
	}
}

// The same numbers are read from every form of a file.
func TestFormsAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.IntRange(1, 6).Draw(t, "d")
		n := rapid.IntRange(1, 20).Draw(t, "n")
		x := rapid.SliceOfN(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), n*d, n*d).Draw(t, "x")
		separator := rapid.SampledFrom([]string{",", ";", "\t"}).Draw(t, "separator")
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end")
		mark := rapid.SampledFrom([]string{"", `"`}).Draw(t, "mark")
		format := rapid.SampledFrom([]byte{'g', 'e', 'f'}).Draw(t, "format")
		var text strings.Builder
		if rapid.Bool().Draw(t, "header") {
			for f := range d {
				fmt.Fprintf(&text, "%scolumn %d%s", mark, f, mark)
				if f < d-1 {
					text.WriteString(separator)
				}
			}
			text.WriteString(end)
		}
		for i, v := range x {
			text.WriteString(mark + strconv.FormatFloat(v, format, -1, 64) + mark)
			if i%d == d-1 {
				text.WriteString(end)
			} else {
				text.WriteString(separator)
			}
		}
		fromText, err := matrix.ReadCSV(t.Context(), strings.NewReader(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		fromRaw, err := matrix.ReadRaw(t.Context(), bytes.NewReader(raw(x...)), n, d, int64(8*n*d))
		if err != nil {
			t.Fatal(err)
		}
		fromText.Names = nil
		if diff := cmp.Diff(fromRaw, fromText); diff != "" {
			t.Fatalf("text differs from raw (-raw +text):\n%s", diff)
		}
		if !slices.Equal(fromRaw.X, x) {
			t.Fatalf("%v was read as %v", x, fromRaw.X)
		}
	})
}

// Whatever a file holds, it is refused with a code, or all its lines were read and hold finite numbers.
func FuzzReadCSV(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n3,4\n", "1;2\r\n3;4", "\uFEFF\"1\"\t\"2\"\n", "1,,3\n", "\n\n", "1\n\n2\n", "a\n\"b\n", "1e999\n", "NaN\n", "\"a\"\"b\",c\n1,2\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := matrix.ReadCSV(t.Context(), bytes.NewReader(data))
		if err != nil {
			if engine.CodeOf(err) != engine.CodeInvalid {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		if m.N < 1 || m.D < 1 || len(m.X) != m.N*m.D || m.Names != nil && len(m.Names) != m.D {
			t.Fatalf("%d x %d with %d numbers and %d names", m.N, m.D, len(m.X), len(m.Names))
		}
		for _, v := range m.X {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%v was read", v)
			}
		}
		lines := 0
		for line := range strings.Lines(strings.TrimPrefix(string(data), "\uFEFF")) {
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
		if m.Names != nil {
			lines--
		}
		if m.N != lines {
			t.Fatalf("%d rows of %d lines", m.N, lines)
		}
	})
}

func FuzzReadRaw(f *testing.F) {
	f.Add(raw(1, 2, 3, 4), uint8(2), uint8(2), true)
	f.Add(raw(1, math.NaN()), uint8(1), uint8(2), false)
	f.Add([]byte{1}, uint8(1), uint8(1), false)
	f.Fuzz(func(t *testing.T, data []byte, rows, columns uint8, sized bool) {
		n, d := int(rows)+1, int(columns)+1
		size := int64(-1)
		if sized {
			size = int64(len(data))
		}
		m, err := matrix.ReadRaw(t.Context(), bytes.NewReader(data), n, d, size)
		if err != nil {
			if engine.CodeOf(err) != engine.CodeInvalid {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		if !bytes.Equal(raw(m.X...), data) {
			t.Fatal("the numbers are not the file's")
		}
	})
}

func BenchmarkReadCSV(b *testing.B) {
	var text bytes.Buffer
	for i := range 100_000 {
		fmt.Fprintf(&text, "%v,%v\n", math.Sqrt(float64(i)), math.Sin(float64(i)))
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := matrix.ReadCSV(b.Context(), bytes.NewReader(text.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}
