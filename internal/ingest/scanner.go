package ingest

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

const (
	headSize  = 256 << 10 // what format recognition may look at
	maxRecord = 1 << 20   // a longer row is set aside; it also ends the search for a closing quote
)

// row is one record of a delimited file. Its bytes are valid until the next one is read.
type row struct {
	line   int64 // where it begins, from 1
	raw    []byte
	fields [][]byte
	fault  *fault // the row could not be taken apart; fields are then empty
	latin1 bool   // it is not valid UTF-8
}

// text gives a field, decoded.
func (r *row) text(i int) []byte {
	f := r.fields[i]
	if r.latin1 && !utf8.Valid(f) {
		return []byte(decodeLatin1(f))
	}
	return f
}

// decodeLatin1 reads bytes as Windows-1252, of which Latin-1's printable part is a subset.
func decodeLatin1(b []byte) string {
	s, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil {
		s = bytes.ToValidUTF8(b, []byte("\uFFFD"))
	}
	return string(s)
}

// scanner reads delimited text by RFC 4180 with what shops' files need beyond it: any line ending, a byte order mark, any
// separator, a bound on the length of a row, the row's own bytes, and recovery. A row whose quotes are broken ends at its
// first line break, so one stray quote does not swallow the rest of the file.
type scanner struct {
	r          io.Reader
	buf        []byte
	start, end int
	eof        bool
	err        error // why reading ended before the end of the file
	started    bool
	comma      byte
	line       int64 // of buf[start]
	row        row
	fields     [][]byte
	unquoted   []byte // holds values with doubled quotes
}

func newScanner(r io.Reader) *scanner {
	return &scanner{r: r, buf: make([]byte, headSize), comma: ',', line: 1}
}

// peek gives the first part of the file, at most headSize bytes, without its byte order mark.
func (s *scanner) peek() ([]byte, error) {
	if !s.started {
		s.started = true
		s.fill()
		if b := s.buf[:s.end]; bytes.HasPrefix(b, []byte{0xFF, 0xFE}) || bytes.HasPrefix(b, []byte{0xFE, 0xFF}) {
			s.decodeUTF16()
		}
		if bytes.HasPrefix(s.buf[:s.end], []byte("\uFEFF")) {
			s.start += len("\uFEFF")
		}
	}
	return s.buf[s.start:s.end], s.err
}

// decodeUTF16 starts over with a reader that gives UTF-8.
func (s *scanner) decodeUTF16() {
	all := io.MultiReader(bytes.NewReader(bytes.Clone(s.buf[:s.end])), s.r)
	s.r = transform.NewReader(all, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder())
	s.start, s.end, s.eof = 0, 0, false
	s.fill()
}

// fill reads until the buffer is full. What is left of it moves to its front; a full one is doubled first.
func (s *scanner) fill() {
	if s.start > 0 {
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.start = 0
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for idle := 0; s.end < len(s.buf) && !s.eof; {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		if idle++; n > 0 {
			idle = 0
		} else if err == nil && idle > 100 {
			err = io.ErrNoProgress
		}
		if err != nil {
			s.eof = true
		}
		if err != nil && !errors.Is(err, io.EOF) {
			s.err = &brokenInput{err}
		}
	}
}

// sample gives a scanner over a copy of the whole lines that are in memory and still unread.
func (s *scanner) sample() *scanner {
	unread := s.buf[s.start:s.end]
	if !s.eof {
		unread = unread[:bytes.LastIndexByte(unread, '\n')+1] // a value cut short says something else
	}
	unread = bytes.Clone(unread)
	return &scanner{r: bytes.NewReader(nil), buf: unread, end: len(unread), eof: true, started: true, comma: s.comma, line: 1}
}

// next reads a row; nil at the end, and then err tells whether that is the file's. Blank lines are skipped.
func (s *scanner) next() *row {
	for {
		rest := s.buf[s.start:s.end]
		n := bytes.IndexByte(rest, '\n')
		switch {
		case n < 0 && len(rest) <= maxRecord && !s.eof:
			s.fill()
			continue
		case n > maxRecord || n < 0 && len(rest) > maxRecord:
			return s.tooLong()
		case n < 0 && (len(rest) == 0 || s.err != nil):
			return nil
		case n < 0:
			n = len(rest)
		}
		line := bytes.TrimSuffix(rest[:n], []byte{'\r'})
		if len(bytes.TrimSpace(line)) == 0 {
			s.skip(n + 1)
			continue
		}
		s.row = row{line: s.line, raw: line}
		if bytes.IndexByte(line, '"') < 0 {
			s.split(line)
			s.row.fields, s.row.latin1 = s.fields, !utf8.Valid(line)
			s.start, s.line = min(s.start+n+1, s.end), s.line+1
			return &s.row
		}
		size, more := s.splitQuoted(rest)
		if more && !s.eof && len(rest) <= maxRecord {
			s.fill()
			continue
		}
		if size == 0 || size > maxRecord || more && s.err != nil {
			s.row.fault = &fault{ReasonUnreadable, "a quotation mark is not closed, or stands inside a quoted value"}
			s.skip(n + 1)
			return &s.row
		}
		s.row.raw = bytes.TrimRight(rest[:size], "\r\n")
		s.row.fields, s.row.latin1 = s.fields, !utf8.Valid(s.row.raw)
		s.skip(size)
		return &s.row
	}
}

// skip moves on by n bytes, or to the end, and counts their lines.
func (s *scanner) skip(n int) {
	n = min(n, s.end-s.start)
	s.line += int64(bytes.Count(s.buf[s.start:s.start+n], []byte{'\n'}))
	s.start += n
}

// tooLong skips a line that exceeds maxRecord, in pieces.
func (s *scanner) tooLong() *row {
	s.row = row{
		line: s.line, raw: bytes.Clone(s.buf[s.start : s.start+maxRaw]),
		fault: &fault{ReasonUnreadable, "the row is longer than 1 MiB"},
	}
	for {
		if n := bytes.IndexByte(s.buf[s.start:s.end], '\n'); n >= 0 {
			s.skip(n + 1)
			return &s.row
		}
		s.start = s.end
		if s.eof {
			return &s.row
		}
		s.fill()
	}
}

// split takes a line without quotes apart.
func (s *scanner) split(line []byte) {
	s.fields = s.fields[:0]
	from := 0
	for i, c := range line {
		if c == s.comma {
			s.fields = append(s.fields, line[from:i])
			from = i + 1
		}
	}
	s.fields = append(s.fields, line[from:])
}

// splitQuoted takes the record at the start of data apart and gives its size with its line break. Size 0: it is malformed,
// or, if more is true, it may go on after data.
func (s *scanner) splitQuoted(data []byte) (size int, more bool) {
	s.fields, s.unquoted = s.fields[:0], s.unquoted[:0]
	i := 0
	for {
		field, n, more := s.value(data[i:])
		if n < 0 {
			return 0, more
		}
		s.fields = append(s.fields, field)
		i += n
		switch {
		case i == len(data):
			return i, !s.eof
		case data[i] == '\n':
			return i + 1, false
		}
		i++ // the separator
	}
}

// value reads one value and gives the place of what ends it: a separator, a line break or the end of data. Place -1: it is
// malformed, or, if more is true, it is not closed in data.
func (s *scanner) value(data []byte) (field []byte, n int, more bool) {
	if len(data) == 0 || data[0] != '"' {
		for n < len(data) && data[n] != s.comma && data[n] != '\n' {
			n++
		}
		field = data[:n]
		if n == len(data) || data[n] == '\n' {
			field = bytes.TrimSuffix(field, []byte{'\r'})
		}
		return field, n, false
	}
	from, n := 1, 1
	kept := len(s.unquoted)
	doubled := false
	for {
		k := bytes.IndexByte(data[n:], '"')
		if k < 0 {
			return nil, -1, true
		}
		n += k + 1
		if n == len(data) || data[n] != '"' {
			break
		}
		doubled = true
		s.unquoted = append(s.unquoted, data[from:n]...)
		n++
		from = n
	}
	field = data[from : n-1]
	if doubled {
		s.unquoted = append(s.unquoted, field...)
		field = s.unquoted[kept:len(s.unquoted):len(s.unquoted)]
	}
	for n < len(data) && (data[n] == ' ' || data[n] == '\r') && data[n] != s.comma {
		n++
	}
	if n < len(data) && data[n] != s.comma && data[n] != '\n' {
		return nil, -1, false
	}
	return field, n, false
}
