// Package ingest turns the order files that shops really have into order lines: it recognises the format, reads it as a
// stream, and sets aside, with a line number and a reason, every row that is no purchase or cannot be read. It knows no
// database and no clock.
package ingest

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// Record is one line of an order, ready to be stored.
type Record struct {
	// Customer is the shop's name for the customer, trimmed; e-mail addresses are in lower case. Never empty.
	Customer string
	// OrderID is the shop's order id; empty where the source has none.
	OrderID string
	// OrderKey and LineNo together name the line for good: the same row of the same file has the same key again. With an
	// order id the key is that id, and LineNo counts the order's lines from 1. Without one the key is "~" and a hash of
	// customer, time and values, and LineNo counts equal rows.
	OrderKey string
	LineNo   int32
	// OrderedAt is in UTC, exact to the microsecond.
	OrderedAt time.Time
	// HasTime tells that OrderedAt is more than a date: not midnight in the store's zone.
	HasTime bool
	// SKU is trimmed and in lower case, Category trimmed; both are empty where the source does not know them.
	SKU, Category string
	// Quantity is negative for a return, and never 0.
	Quantity int32
	// NetCents is quantity x unit price - discount, rounded half away from zero to a hundredth of the currency.
	NetCents int64
	// DiscountCents is the amount off the whole line. HasDiscount tells whether the source stated one, be it 0.
	DiscountCents int64
	HasDiscount   bool
	// RefundCents is what was given back on a line of positive quantity, at most NetCents. RefundedAt is zero where the
	// source does not say when.
	RefundCents int64
	RefundedAt  time.Time
	// CancelledAt is from when on the line counts no more; zero where it stands.
	CancelledAt time.Time
	// KnowsReturns tells that the source says whether this line was returned, or that it is itself a return.
	KnowsReturns bool
	// Store is what the row's store_id column says; empty where there is none.
	Store string
	// Line is where the row begins in the file, counted from 1.
	Line int64
	// KeyedAt is OrderedAt in Options.KeyZone; zero where that is none.
	KeyedAt time.Time
}

// Reason tells why a row was set aside. Reasons never change: they are part of the API.
type Reason string

// Why a row is set aside.
const (
	ReasonGuest            Reason = "GUEST"              // it names no customer
	ReasonCancelled        Reason = "CANCELLED"          // the order was cancelled
	ReasonVoided           Reason = "VOIDED"             // the order was voided: never paid
	ReasonTest             Reason = "TEST"               // a test order
	ReasonStatusNotCounted Reason = "STATUS_NOT_COUNTED" // its status is not one of the store's purchase statuses
	ReasonZeroQuantity     Reason = "ZERO_QUANTITY"      // quantity 0
	ReasonNoLines          Reason = "NO_LINES"           // no line of the order is left
	ReasonUnreadable       Reason = "UNREADABLE"         // a value cannot be read, or the row is cut off
	ReasonImpossible       Reason = "IMPOSSIBLE"         // a value can be read and cannot be true
)

// Withdraws tells whether an order set aside for this reason is no purchase after all, so that an earlier copy of it goes.
func (r Reason) Withdraws() bool {
	return r == ReasonCancelled || r == ReasonVoided || r == ReasonTest || r == ReasonStatusNotCounted
}

// Reject is a row that was set aside.
type Reject struct {
	Line   int64 // where the row begins in the file, from 1
	Reason Reason
	Detail string // a sentence for people
	Raw    string // the row as it stands in the file, cut after 64 KiB; valid UTF-8
	// OrderID is the shop's, where it is known. An order that was kept before goes where Reason.Withdraws: this tells which.
	OrderID string
	// CancelledAt is when the order was cancelled, where the source says so.
	CancelledAt time.Time
}

// Options say how to read a file. The zero value reads times without a zone as UTC and accepts any date up to the year
// 9999.
type Options struct {
	// Zone holds for times that state none; nil is UTC.
	Zone *time.Location
	// KeyZone, where not nil, holds in place of Zone for the times in the keys of lines without order ids: a store whose zone
	// has changed knows its lines again.
	KeyZone *time.Location
	// Now is the clock: orders more than a day after it are impossible. Zero switches that check off.
	Now time.Time
	// Mapping names columns of a foreign file: field -> header, for example customer_id -> "Client no". Fields are those
	// of Fields; what is not named is found by its own name.
	Mapping map[string]string
	// DayFirst decides how dates such as 7/8/2017 are read. Where it is nil, the file's own dates decide for the whole
	// file, if they leave only one reading; else such rows are set aside.
	DayFirst *bool
	// DecimalComma decides how numbers such as 1.234 and 1,234 are read. Where it is nil, the file's own numbers decide for the
	// whole file, if they leave only one reading; else such rows are set aside, but for points in formats that write decimal points.
	DecimalComma *bool
	// Products gives the category of a SKU to lines that have none.
	Products Products
	// Currency is the store's; orders in another one are impossible. Empty: of an order any; of a file the first that it states, and
	// a file that states two is refused.
	Currency string
	// Statuses are the order states that count as purchases, without regard to case; empty: what the format's shop
	// system counts.
	Statuses []string
}

// Summary tells what a file held. Rows = records + guests + rejected + superseded.
type Summary struct {
	// Format is one of normalised, mapped, shopify, woocommerce, cdnow.
	Format string
	// Mapping gives the header of every field that was read.
	Mapping map[string]string
	// Dates is "day first" or "month first" where dates such as 7/8/2017 were read, else empty.
	Dates string
	// Numbers is "decimal point" or "decimal comma" where the file's numbers, or the caller, decided on one; "mixed" where they are of
	// both kinds and "undecided" where none decides: numbers that can be read both ways are then set aside. Empty: no number had
	// either sign.
	Numbers string
	// Currency is that of the records, where the file states one.
	Currency string

	Rows       int64 // data rows, the header and blank lines not counted
	Imported   int64 // records handed over
	Guests     int64 // rows that name no customer
	Rejected   int64 // rows set aside for another reason
	Superseded int64 // rows of an order that stands again, later in the file
	Orders     int64 // order ids among the records; records, where there are no ids
	Customers  int64 // customers among the records

	// Problems counts the rows set aside, guests included, by reason.
	Problems map[Reason]int64
	// Sample holds the first ten records.
	Sample []Record
	// Columns are the optional columns that the records fill.
	Columns engine.Columns
}

// sampleSize is how many records a dry run shows.
const sampleSize = 10

// Read reads a whole file: its format is recognised from the header and the first rows. Every good line goes to record,
// every row set aside to reject; either may end the reading with an error, which is returned as it is. Either may be nil. A
// file that holds no orders at all is refused with an engine.Error that says what was expected.
//
// Normalised, mapped and CDNOW files are handed over row by row. Of Shopify's and WooCommerce's exports the last copy of an order
// wins, so their orders are handed over at the end of the file, by id; meanwhile they lie in a temporary file.
func Read(ctx context.Context, r io.Reader, o Options, record func(Record) error, reject func(Reject) error) (Summary, error) {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	s := newSink(ctx, &o, record, reject)
	err := read(r, &o, s)
	if refused, ok := errors.AsType[*brokenInput](err); ok {
		err = engine.Errorf(engine.CodeInvalid, "the file cannot be read to its end (after line %d): %v", s.lastLine, refused.cause)
	}
	return s.sum, err
}

// brokenInput is a failure of the reader underneath, such as a damaged .gz.
type brokenInput struct{ cause error }

func (e *brokenInput) Error() string { return e.cause.Error() }
func (e *brokenInput) Unwrap() error { return e.cause }

func read(r io.Reader, o *Options, s *sink) error {
	sc := newScanner(r)
	head, err := sc.peek()
	if err != nil {
		return err
	}
	if err := refuseForeign(head); err != nil {
		return err
	}
	if looksLikeCDNOW(head) {
		return readCDNOW(sc, o, s)
	}
	header, err := readHeader(sc)
	if err != nil {
		return err
	}
	switch {
	case len(o.Mapping) > 0:
		return readLines(sc, header, o, s)
	case header.isShopify():
		return readShopify(sc, header, o, s)
	case header.isWooSuite():
		return readWooSuite(sc, header, o, s)
	case header.isWooReport():
		return refuseWooReport()
	}
	return readLines(sc, header, o, s)
}
