package ingest

import (
	"bytes"
	"strings"

	"github.com/quimbi/quimbi/engine"
)

// currencies holds the orders of a file to one currency: amounts in others cannot be added to them.
type currencies struct {
	own    string // empty until a row states one, where nobody said which counts
	said   bool   // own is the store's, or the caller's word
	stated bool   // a row was in it
}

// currencyCode gives three letters as a code; empty for anything else, which names no currency for sure.
func currencyCode(text []byte) string {
	text = bytes.ToUpper(bytes.TrimSpace(text))
	if len(text) != 3 || len(bytes.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) > 0 {
		return ""
	}
	return string(text)
}

// check tells why an order of a currency does not count. Where nobody said which currency does, a second one ends the reading.
func (c *currencies) check(text []byte, line int64) (*fault, error) {
	if len(text) == 0 || len(text) == 3 && string(text) == c.own && c.stated {
		return nil, nil
	}
	code := currencyCode(text)
	switch {
	case code == "":
		return nil, nil
	case c.own == "", code == c.own:
		c.own, c.stated = code, true
		return nil, nil
	case c.said:
		return foreign(code, c.own), nil
	}
	return nil, engine.Errorf(engine.CodeInvalid, "the file has orders in %s and, in line %d, in %s, and the store has no currency yet: say with --currency which one "+
		"counts, and orders in others are set aside", c.own, line, code)
}

// one is the currency that was found; empty where none was stated.
func (c *currencies) one() string {
	if !c.stated {
		return ""
	}
	return c.own
}

// differs tells whether orders of a currency will be set aside.
func (c *currencies) differs(text string) bool {
	code := currencyCode([]byte(text))
	return c.said && code != "" && code != c.own
}

func newCurrencies(o *Options) currencies {
	own := strings.ToUpper(o.Currency)
	return currencies{own: own, said: own != ""}
}

func foreign(currency, own string) *fault {
	return &fault{ReasonImpossible, "the order is in " + currency + ", the store in " + own}
}
