package engine

import (
	"errors"
	"fmt"
)

// Code tells a program what kind of fault an Error is. Codes never change.
type Code string

// The codes of faults that a caller can do something about, and of those that it cannot.
const (
	CodeInvalid          Code = "INVALID"           // an argument breaks a rule
	CodeNotFound         Code = "NOT_FOUND"         // nothing with that key, or not for this caller
	CodeConflict         Code = "CONFLICT"          // the state of something forbids it
	CodeRunInProgress    Code = "RUN_IN_PROGRESS"   // the store is being clustered already
	CodeRunFinished      Code = "RUN_FINISHED"      // the run is over already
	CodeInsufficientData Code = "INSUFFICIENT_DATA" // too few customers or orders
	CodeFeatureDisabled  Code = "FEATURE_DISABLED"  // a setting switches it off
	CodeForbidden        Code = "FORBIDDEN"         // the caller may not
	CodeUnauthenticated  Code = "UNAUTHENTICATED"   // nobody knows who the caller is
	CodeUnavailable      Code = "UNAVAILABLE"       // the database cannot be reached
	CodeInternal         Code = "INTERNAL"          // a fault of the program
)

// Error is a fault with a code for programs and a sentence for people. The sentence holds no internals: it may be shown
// to whoever asked.
type Error struct {
	Code    Code
	Message string
	// Field is the place in the arguments where there is a single one, for example ["input", "asOf"].
	Field []string
	// RunID names the run that is in the way, where one is.
	RunID string
}

// Errorf makes an Error with the code and a formatted sentence.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// At returns the error with the place in the arguments that it is about.
func (e *Error) At(field ...string) *Error {
	at := *e
	at.Field = field
	return &at
}

// Error gives the sentence.
func (e *Error) Error() string { return e.Message }

// CodeOf gives the code of the first Error in the chain, and CodeInternal where there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}
