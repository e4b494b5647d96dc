package ingest

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/quimbi/quimbi/engine"
)

// ParseMapping reads a mapping of fields to the headers of a file: customer_id="Client no",ordered_at="Datum". Pairs are
// separated by commas or line breaks; a header with a comma stands in quotation marks, in which "" is one mark. Lines that
// begin with # are comments.
func ParseMapping(text string) (map[string]string, error) {
	mapping := map[string]string{}
	rest := strings.TrimSpace(text)
	for rest != "" {
		if rest[0] == '#' {
			_, after, _ := strings.Cut(rest, "\n")
			rest = strings.TrimSpace(after)
			continue
		}
		key, after, ok := strings.Cut(rest, "=")
		key = strings.TrimSpace(key)
		f, known := fieldNamed(key)
		if !ok || !known {
			return nil, engine.Errorf(engine.CodeInvalid, "cannot read the mapping at %s: write field=\"Column\",…; the fields are %s",
				quote([]byte(rest)), strings.Join(Fields(), ", "))
		}
		var column string
		if column, rest, ok = mappedColumn(strings.TrimSpace(after)); !ok || column == "" {
			return nil, engine.Errorf(engine.CodeInvalid, "the mapping names no column for %s, or a quotation mark in it is not closed", f)
		}
		if _, twice := mapping[f.String()]; twice {
			return nil, engine.Errorf(engine.CodeInvalid, "the mapping names %s twice", f)
		}
		mapping[f.String()] = column
	}
	return mapping, nil
}

// maxMapping is how long a mapping file may be, in bytes.
const maxMapping = 64 << 10

// ReadMapping reads a mapping file: a mapping in the form of ParseMapping, best with one field a line.
func ReadMapping(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		err = openFault(path, err)
		return nil, engine.Errorf(engine.CodeOf(err), "%v: --map takes FIELD=HEADER,… or the name of a mapping file", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxMapping+1))
	var mapping map[string]string
	switch {
	case err != nil:
		err = engine.Errorf(engine.CodeInvalid, "it cannot be read: %v", errors.Unwrap(err))
	case len(text) > maxMapping:
		err = engine.Errorf(engine.CodeInvalid, "it is longer than %d KiB", maxMapping>>10)
	default:
		mapping, err = ParseMapping(strings.TrimPrefix(string(text), "\uFEFF"))
	}
	if err == nil && len(mapping) == 0 {
		err = engine.Errorf(engine.CodeInvalid, "it names no field; write one on each line, for example customer_id=\"Client no\"; the fields are %s", strings.Join(Fields(), ", "))
	}
	if err != nil {
		return nil, engine.Errorf(engine.CodeInvalid, "the mapping file %s: %v", path, err)
	}
	return mapping, nil
}

// mappedColumn reads a header and gives what follows its separator.
func mappedColumn(s string) (column, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, ",\n")
		if i < 0 {
			i = len(s)
		}
		return strings.TrimSpace(s[:i]), strings.TrimSpace(strings.TrimLeft(s[i:], ",\n")), true
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] != '"':
			continue
		case strings.HasPrefix(s[i:], `""`):
			i++
			continue
		}
		column = strings.ReplaceAll(s[1:i], `""`, `"`)
		rest = strings.TrimLeft(s[i+1:], " \t\r")
		if rest != "" && rest[0] != ',' && rest[0] != '\n' {
			return "", "", false
		}
		return column, strings.TrimSpace(strings.TrimLeft(rest, ",\n")), true
	}
	return "", "", false
}
