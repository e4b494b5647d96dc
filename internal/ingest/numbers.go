package ingest

import (
	"github.com/quimbi/quimbi/engine"
)

// signs is how a file means numbers whose only sign stands before exactly three digits: 1.234 and 1,234 can each be a thousand
// or one and a bit. It is decided once for a file.
type signs uint8

const (
	signsOpen  signs = iota // nothing decides: such numbers cannot be read
	signsOwn                // the format itself writes decimal points, and nothing else decides: 1.234 is read so, 1,234 is open
	signsPoint              // points are decimal signs, commas part thousands
	signsComma              // commas are decimal signs, points part thousands
)

// What a file's numbers were found to be, for people.
const (
	NumbersPoint     = "decimal point"
	NumbersComma     = "decimal comma"
	NumbersMixed     = "mixed"     // of both kinds; numbers that can be read both ways are set aside
	NumbersUndecided = "undecided" // nothing decides on numbers that can be read both ways; they are set aside
)

// tells is what one number says of the signs of its file.
type tells uint8

const (
	tellsNothing tells = iota
	tellsPoint         // it can only be read with a decimal point
	tellsComma         // only with a decimal comma
	leavesPoint        // its point may be either
	leavesComma        // its comma may be either
)

func (t tells) isOpen() bool { return t == leavesPoint || t == leavesComma }

// of tells whether the sign of an open number is a decimal sign.
func (s signs) of(open tells) (decimalSign, decided bool) {
	switch s {
	case signsPoint:
		return open == leavesPoint, true
	case signsComma:
		return open == leavesComma, true
	case signsOwn:
		return true, open == leavesPoint
	}
	return false, false
}

// signVotes collects what a file's own numbers say.
type signVotes struct{ point, comma, openPoint, openComma bool }

func (v *signVotes) see(t tells) {
	v.point = v.point || t == tellsPoint
	v.comma = v.comma || t == tellsComma
	v.openPoint = v.openPoint || t == leavesPoint
	v.openComma = v.openComma || t == leavesComma
}

// decide gives the signs that all numbers allow and at least one demands; else the format's own, if it writes points.
func (v *signVotes) decide(ownPoints bool) signs {
	switch {
	case v.point && v.comma:
		return signsOpen
	case v.point:
		return signsPoint
	case v.comma:
		return signsComma
	case ownPoints:
		return signsOwn
	}
	return signsOpen
}

// numbers reads the numbers of a file.
type numbers struct {
	signs signs
	told  bool // by the caller: the file's own numbers cannot change it
	votes signVotes
	line  int64 // of the row that is read
	leant int64 // line of the first number that was read by the decision; 0: none
	clash int64 // line of a number that contradicts it, after one was
}

func newNumbers(decimalComma *bool) numbers {
	switch {
	case decimalComma == nil:
		return numbers{}
	case *decimalComma:
		return numbers{signs: signsComma, told: true}
	}
	return numbers{signs: signsPoint, told: true}
}

// decide takes what numbers said that were read so far for the whole file. ownPoints: its format writes decimal points.
func (n *numbers) decide(ownPoints bool) {
	if !n.told {
		n.signs = n.votes.decide(ownPoints)
	}
}

// read reads a number that must be there.
func (n *numbers) read(name string, text []byte) (decimal, *fault) {
	if len(text) == 0 {
		return decimal{}, &fault{ReasonUnreadable, "no " + name}
	}
	d, told, ok := parseDecimal(text, n.signs)
	n.see(told, ok)
	switch {
	case ok:
		return d, nil
	case told.isOpen():
		return d, openNumber(name, text, told)
	}
	return d, notANumber(name, text)
}

// see notes what a number says after the file's decision, which was made from a part of it.
func (n *numbers) see(t tells, read bool) {
	n.votes.see(t)
	against := t == tellsComma && (n.signs == signsPoint || n.signs == signsOwn) || t == tellsPoint && n.signs == signsComma
	switch {
	case n.told:
	case t.isOpen() && read && n.leant == 0:
		n.leant = n.line
	case against && n.leant > 0:
		n.clash = n.line
	case against:
		n.signs = signsOpen // nothing was read by it yet, and nothing will be
	}
}

// contradiction refuses a file that turned out to hold numbers of both kinds after some were read as of one.
func (n *numbers) contradiction() error {
	if n.clash == 0 {
		return nil
	}
	return engine.Errorf(engine.CodeInvalid, "the file holds numbers with decimal points and with decimal commas (line %d), so it is not certain what such as 1.234 "+
		"in line %d are: say --decimal-point or --decimal-comma", n.clash, n.leant)
}

// found names the decision; empty where no number had a sign.
func (n *numbers) found() string {
	v := n.votes
	switch {
	case n.signs == signsComma:
		return NumbersComma
	case n.signs == signsPoint:
		return NumbersPoint
	case v.point && v.comma:
		return NumbersMixed
	case v.openComma, v.openPoint && n.signs == signsOpen:
		return NumbersUndecided
	case v.openPoint:
		return NumbersPoint
	case v.point:
		return NumbersPoint
	case v.comma:
		return NumbersComma
	}
	return ""
}

func openNumber(name string, text []byte, t tells) *fault {
	sign := "comma"
	if t == leavesPoint {
		sign = "point"
	}
	return &fault{ReasonUnreadable, name + ": it is not certain whether the " + sign + " in " + quote(text) +
		" is a decimal sign or parts thousands: say --decimal-point or --decimal-comma"}
}

func notANumber(name string, text []byte) *fault {
	return &fault{ReasonUnreadable, name + " is not a number: " + quote(text)}
}

// apiNumber reads a number of a call or a message, which write decimal points.
func apiNumber(name string, text []byte) (decimal, *fault) {
	if len(text) == 0 {
		return decimal{}, &fault{ReasonUnreadable, "no " + name}
	}
	d, told, ok := parseDecimal(text, signsOwn)
	switch {
	case ok:
		return d, nil
	case told.isOpen():
		return d, &fault{ReasonUnreadable, name + " must be written with a decimal point and without thousands separators: " + quote(text)}
	}
	return d, notANumber(name, text)
}
