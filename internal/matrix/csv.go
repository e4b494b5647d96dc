package matrix

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/quimbi/quimbi/engine"
)

const (
	bufferSize  = 256 << 10
	longestLine = 64 << 20
	shownBytes  = 40   // of a value in an error
	linesAtOnce = 1024 // between two looks at the context
)

// ReadCSV reads numbers as text: one row a line, columns separated by commas, or by semicolons or tabs where the first line has
// no comma and only one of these two. Values may stand in quotation marks and between blanks; lines may end as on Windows; a
// byte order mark is passed over.
//
// The first line is a header if any of its values is neither a number nor a mark of a missing one (nothing, NaN, Inf, NA, null).
// All other values must be finite decimal numbers and every line must have as many as the first; empty lines may only stand at
// the end.
func ReadCSV(ctx context.Context, in io.Reader) (*Matrix, error) {
	r := &csvReader{in: bufio.NewReaderSize(in, bufferSize)}
	if err := r.first(); err != nil {
		return nil, err
	}
	for {
		if r.line%linesAtOnce == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := r.row(line); err != nil {
			return nil, err
		}
	}
	if r.rows == 0 {
		return nil, invalid("there are no rows below the header in line 1, which is one because %s is not a number", shown(r.text))
	}
	return &Matrix{N: r.rows, D: r.columns, X: r.numbers.join(), Names: r.names}, nil
}

type csvReader struct {
	in        *bufio.Reader
	long      []byte // a line that exceeds the reader's buffer
	line      int    // of what was read last, from 1
	empty     int    // the first of the empty lines since; 0 for none
	separator byte
	names     []string
	text      []byte // what makes the first line a header
	columns   int
	rows      int
	numbers   blocks
}

// next gives the next line that is not empty, without its end; valid until the one after is read. io.EOF is the end.
func (r *csvReader) next() ([]byte, error) {
	for {
		line, err := r.readLine()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		ended := err != nil
		if ended && len(line) == 0 {
			return nil, io.EOF
		}
		r.line++
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
		if r.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\uFEFF"))
		}
		if len(bytes.TrimSpace(line)) > 0 || r.separator == '\t' && len(line) > 0 {
			if r.empty > 0 {
				return nil, invalid("line %d is empty, and there are more lines after it: take it out, or fill it", r.empty)
			}
			return line, nil
		}
		if r.empty == 0 {
			r.empty = r.line
		}
	}
}

// readLine gives a line with its end.
func (r *csvReader) readLine() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		r.long = append(r.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) && len(r.long) <= longestLine {
			line, err = r.in.ReadSlice('\n')
			r.long = append(r.long, line...)
		}
		line = r.long
		if len(line) > longestLine {
			return nil, invalid("line %d is longer than %d MiB: is this a table of numbers?", r.line+1, longestLine>>20)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, unreadable(err)
	}
	return line, err
}

// unreadable tells about a source that failed; an error that has a code already, and one of a context, is kept.
func unreadable(err error) error {
	if engine.CodeOf(err) != engine.CodeInternal || errors.Is(err, context.Canceled) {
		return err
	}
	return invalid("the file cannot be read to its end: %v", err)
}

// first takes the first line: the separator, the number of columns, and the header or the first row.
func (r *csvReader) first() error {
	line, err := r.next()
	if errors.Is(err, io.EOF) {
		return invalid("the file is empty: it must hold at least one row of numbers")
	}
	if err != nil {
		return err
	}
	if err := r.findSeparator(line); err != nil {
		return err
	}
	var names []string
	for rest, last := line, false; !last; {
		var value []byte
		if value, rest, last, err = r.value(rest); err != nil {
			return err
		}
		if r.text == nil && isText(value) {
			r.text = bytes.Clone(value)
		}
		names = append(names, strings.ToValidUTF8(string(value), "\uFFFD"))
	}
	r.columns = len(names)
	if r.text != nil {
		r.names = names
		return nil
	}
	return r.row(line)
}

// findSeparator looks for one outside of quotation marks.
func (r *csvReader) findSeparator(line []byte) error {
	found := map[byte]bool{}
	quoted := false
	for _, c := range line {
		switch c {
		case '"':
			quoted = !quoted
		case ',', ';', '\t':
			found[c] = found[c] || !quoted
		}
	}
	switch {
	case found[','] || !found[';'] && !found['\t']:
		r.separator = ','
	case found[';'] && found['\t']:
		return invalid("line 1 has semicolons and tabs, and either could separate the columns: use commas")
	case found[';']:
		r.separator = ';'
	default:
		r.separator = '\t'
	}
	return nil
}

// row takes the numbers of a line.
func (r *csvReader) row(line []byte) error {
	column := 0
	for rest, last := line, false; !last; column++ {
		var value []byte
		var err error
		if value, rest, last, err = r.value(rest); err != nil {
			return err
		}
		if column == r.columns {
			column += 1 + r.valuesIn(rest, last)
			break
		}
		number, ok := parse(value)
		if !ok {
			return r.refuse(value, column)
		}
		r.numbers.add(number)
	}
	if column != r.columns {
		return invalid("line %d has %s, but line 1 has %d: separators are %s", r.line, counted(column, "value"), r.columns, separators[r.separator])
	}
	r.rows++
	return nil
}

var separators = map[byte]string{',': "commas", ';': "semicolons", '\t': "tabs"}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// valuesIn counts the values of the rest of a line, for an error.
func (r *csvReader) valuesIn(rest []byte, last bool) int {
	count := 0
	for ; !last; count++ {
		var err error
		if _, rest, last, err = r.value(rest); err != nil {
			break
		}
	}
	return count
}

// value takes the first value off a line, without blanks and quotation marks around it, and gives what follows its separator;
// last tells that there is none.
func (r *csvReader) value(line []byte) (value, rest []byte, last bool, err error) {
	line = r.trimLeft(line)
	if len(line) > 0 && line[0] == '"' {
		return r.quoted(line)
	}
	at := bytes.IndexByte(line, r.separator)
	if at < 0 {
		return bytes.TrimSpace(line), nil, true, nil
	}
	return bytes.TrimSpace(line[:at]), line[at+1:], false, nil
}

// trimLeft takes blanks off, but no separator.
func (r *csvReader) trimLeft(line []byte) []byte {
	for len(line) > 0 && line[0] != r.separator && (line[0] == ' ' || line[0] == '\t') {
		line = line[1:]
	}
	return line
}

func (r *csvReader) quoted(line []byte) (value, rest []byte, last bool, err error) {
	doubled := false
	end := 1
	for {
		at := bytes.IndexByte(line[end:], '"')
		if at < 0 {
			return nil, nil, false, invalid("line %d has a quotation mark that is not closed in it", r.line)
		}
		end += at
		if end+1 == len(line) || line[end+1] != '"' {
			break
		}
		doubled = true
		end += 2
	}
	value = line[1:end]
	if doubled {
		value = bytes.ReplaceAll(value, []byte(`""`), []byte(`"`))
	}
	value = bytes.TrimSpace(value)
	rest = r.trimLeft(line[end+1:])
	switch {
	case len(rest) == 0:
		return value, nil, true, nil
	case rest[0] == r.separator:
		return value, rest[1:], false, nil
	}
	return nil, nil, false, invalid("line %d goes on behind the quotation marks around %s", r.line, shown(value))
}

// parse reads a finite decimal number. Go's own notations (hexadecimal digits, underscores, words) are none.
func parse(value []byte) (float64, bool) {
	for _, c := range value {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	number, err := strconv.ParseFloat(string(value), 64)
	return number, err == nil
}

// isText tells whether a value of the first line makes it a header.
func isText(value []byte) bool {
	number, ok := parse(value)
	return !ok && !isMissing(value) && !math.IsInf(number, 0)
}

// isMissing tells whether a value says that there is no number, or none that is finite.
func isMissing(value []byte) bool {
	switch strings.ToLower(strings.TrimLeft(string(value), "+-")) {
	case "", "nan", "inf", "infinity", "na", "n/a", "null", "none":
		return true
	}
	return false
}

// refuse tells what is wrong with a value.
func (r *csvReader) refuse(value []byte, column int) error {
	place := fmt.Sprintf("line %d, column %d", r.line, column+1)
	if r.names != nil {
		place += " (" + shown([]byte(r.names[column])) + ")"
	}
	number, _ := parse(value)
	switch {
	case len(value) == 0:
		return invalid("%s is empty: fill it, or leave the row or the column out", place)
	case isMissing(value):
		return invalid("%s is %s, which is no finite number: fill it, or leave the row or the column out", place, shown(value))
	case math.IsInf(number, 0):
		return invalid("%s is %s, which is beyond the range of numbers", place, shown(value))
	case bytes.ContainsAny(value, ",;\t"):
		return invalid("%s is %s, which is not a number: separators are %s, and decimals stand behind a point", place, shown(value), separators[r.separator])
	}
	return invalid("%s is %s, which is not a number: leave out rows and columns that hold other things", place, shown(value))
}

// shown gives a value as it may stand in an error.
func shown(value []byte) string {
	if len(value) > shownBytes {
		return strconv.Quote(strings.ToValidUTF8(string(value[:shownBytes]), "")) + " ..."
	}
	return strconv.Quote(string(value))
}
