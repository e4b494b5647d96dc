package postgres

import (
	"strconv"
	"strings"
)

// statement builds a read with optional conditions: every value is a parameter, and only fixed fragments are joined.
type statement struct {
	args       []any
	conditions []string
}

// arg adds a parameter and gives its place, such as $3.
func (s *statement) arg(v any) string {
	s.args = append(s.args, v)
	return "$" + strconv.Itoa(len(s.args))
}

// where adds a condition; each ? stands for the next value.
func (s *statement) where(condition string, values ...any) {
	for _, v := range values {
		condition = strings.Replace(condition, "?", s.arg(v), 1)
	}
	s.conditions = append(s.conditions, condition)
}

// and gives the conditions, each with AND before it.
func (s *statement) and() string {
	var b strings.Builder
	for _, c := range s.conditions {
		b.WriteString("\n    AND (" + c + ")")
	}
	return b.String()
}

// Window is which part of an ordered list is read. Limit rows are read from the front, or from the back where Backward is
// set; they always come in the order of the list.
type Window struct {
	Limit    int
	Backward bool
}

// direction gives ASC or DESC for a key of the list that runs so, read from the front or from the back.
func (w Window) direction(descending bool) string {
	if descending != w.Backward {
		return "DESC"
	}
	return "ASC"
}

// inOrder turns rows that were read from the back round.
func inOrder[T any](w Window, rows []T) []T {
	if w.Backward {
		for i, j := 0, len(rows)-1; i < j; i, j = i+1, j-1 {
			rows[i], rows[j] = rows[j], rows[i]
		}
	}
	return rows
}

// beyond gives the comparison for what follows a cursor (or precedes it) in a key that runs so.
func beyond(after, descending bool) string {
	if after != descending {
		return ">"
	}
	return "<"
}

// IsUnavailable tells whether an error says that the database cannot be reached, is ending or lacks something: see Outage.
func IsUnavailable(err error) bool { return Outage(err) != nil }

// Stats tells how the pool of connections is used: those there are, those in use, and the most there may be.
func (db *DB) Stats() (total, used, limit int) {
	s := db.pool.Stat()
	return int(s.TotalConns()), int(s.AcquiredConns()), int(s.MaxConns())
}
