package ingest

import (
	"bytes"
)

// cdnowColumns are what Fader and Hardie's CDNOW files hold, separated by blanks and without a header: customer, (in the
// sample a second number of the customer,) date as YYYYMMDD, number of CDs, value in dollars.
const cdnowColumns = 4

// looksLikeCDNOW tells by the first lines.
func looksLikeCDNOW(head []byte) bool {
	lines := 0
	for lines < 5 && len(head) > 0 {
		line, rest, ended := bytes.Cut(head, []byte{'\n'})
		head = rest
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if !ended && lines > 0 {
			break // cut off
		}
		if !isCDNOW(fields) {
			return false
		}
		lines++
	}
	return lines > 0
}

func isCDNOW(fields [][]byte) bool {
	n := len(fields)
	if n != cdnowColumns && n != cdnowColumns+1 || len(fields[n-3]) != 8 {
		return false
	}
	for i, f := range fields {
		d, ok := plainDecimal(f)
		if !ok || d.m < 0 || d.scale > 0 && i < n-1 {
			return false
		}
	}
	return true
}

// readCDNOW reads a CDNOW file.
func readCDNOW(sc *scanner, o *Options, s *sink) error {
	s.sum.Format = FormatCDNOW
	s.sum.Mapping = map[string]string{"customer_id": "1", "ordered_at": "last but two", "quantity": "last but one", "value": "last"}
	sc.comma = '\n' // rows are taken apart here
	p := &lineReader{clock: clock{zone: o.Zone}, keyZone: o.KeyZone, latest: latest(o.Now), texts: newInterner(), numbers: numbers{signs: signsOwn}}
	width := 0
	for r := sc.next(); r != nil; r = sc.next() {
		if err := s.row(r.line); err != nil {
			return err
		}
		fields := bytes.Fields(r.raw)
		if width == 0 {
			width = len(fields)
		}
		rec := Record{Line: r.line}
		var err error
		if f := p.cdnow(r, fields, width, &rec); f != nil {
			err = s.drop(r.line, f, "", printable(r.raw))
		} else {
			err = s.keep(&rec)
		}
		if err != nil {
			return err
		}
	}
	s.sum.Numbers = p.numbers.found()
	return sc.err
}

func (p *lineReader) cdnow(r *row, fields [][]byte, width int, rec *Record) *fault {
	if len(fields) != width || r.fault != nil {
		return &fault{ReasonUnreadable, "the row does not have as many values as the first"}
	}
	rec.Customer = p.texts.get(fields[0])
	if f := checkTexts(rec); f != nil {
		return f
	}
	if f := p.time(fields[width-3], rec); f != nil {
		return f
	}
	if f := checkDate(rec.OrderedAt, p.latest); f != nil {
		return f
	}
	quantity, f := p.numbers.read("quantity", fields[width-2])
	if f != nil {
		return f
	}
	value, f := p.numbers.read("value", fields[width-1])
	if f != nil {
		return f
	}
	return setValue(rec, quantity, value, decimal{})
}
