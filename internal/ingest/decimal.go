package ingest

import (
	"bytes"
	"math/big"
	"math/bits"
	"strings"
)

// maxDigits is how many digits a number keeps: as many as an int64 holds. Further decimals are cut off, further digits before
// the point are an error.
const maxDigits = 18

// maxCents bounds the value of a row: a trillion in the store's currency. Sums of rows stay within an int64.
const maxCents = 100_000_000_000_000

var pow10 = func() (p [maxDigits + 1]int64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = 10 * p[i-1]
	}
	return p
}()

// decimal is the exact number m / 10^scale, scale from 0 to maxDigits.
type decimal struct {
	m     int64
	scale int
}

// parseDecimal reads a number as people and shop systems write it: 1234.5, 1.234,50, $1,234.50, 12,5, (3.00), 3.00-, EUR 5.
// Of a point and a comma in one number the later is the decimal sign; one that repeats is not, and neither can part thousands
// unless it stands before groups of three digits. What is open after that, 1.234 and 1,234, s decides. It tells what the number says
// of the file, also where it cannot be read because it is open.
func parseDecimal(b []byte, s signs) (d decimal, told tells, ok bool) {
	if d, ok := plainDecimal(b); ok {
		switch {
		case d.scale == 0:
			return d, tellsNothing, true
		case d.scale != 3 || magnitude(d.m) < 1000 || len(bytes.TrimPrefix(b, []byte{'-'})) > len("123.456"):
			return d, tellsPoint, true
		case s == signsPoint || s == signsOwn:
			return d, leavesPoint, true
		}
	}
	text, negative, ok := bareNumber(string(b))
	if !ok {
		return decimal{}, tellsNothing, false
	}
	whole, fraction := text, ""
	at, told := decimalSign(text)
	if told.isOpen() {
		if _, ok := digitsOf(text[:at], text[at+1:]); !ok {
			return decimal{}, tellsNothing, false
		}
		isSign, decided := s.of(told)
		if !decided {
			return decimal{}, told, false
		}
		if !isSign {
			at = -1
		}
	}
	if at >= 0 {
		whole, fraction = text[:at], text[at+1:]
	}
	if d, ok = digitsOf(whole, fraction); !ok {
		return decimal{}, tellsNothing, false
	}
	if negative {
		d.m = -d.m
	}
	return d, told, true
}

// digitsOf makes a number of what stands before and after its decimal sign.
func digitsOf(whole, fraction string) (d decimal, ok bool) {
	whole, ok = ungroup(whole)
	if !ok || whole == "" && fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return decimal{}, false
	}
	whole = strings.TrimLeft(whole, "0")
	if len(whole) > maxDigits {
		return decimal{}, false
	}
	fraction = fraction[:min(len(fraction), maxDigits-len(whole))]
	d.scale = len(fraction)
	for _, c := range whole + fraction {
		d.m = 10*d.m + int64(c-'0')
	}
	return d, true
}

// plainDecimal reads [-]digits[.digits] of at most maxDigits digits.
func plainDecimal(b []byte) (d decimal, ok bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > maxDigits {
		return d, false
	}
	point := -1
	for i, c := range b {
		switch {
		case '0' <= c && c <= '9':
			d.m = 10*d.m + int64(c-'0')
		case c == '.' && point < 0 && i > 0 && i < len(b)-1:
			point = i
		default:
			return d, false
		}
	}
	if point >= 0 {
		d.scale = len(b) - 1 - point
	}
	if negative {
		d.m = -d.m
	}
	return d, true
}

// bareNumber takes blanks, a currency's sign or code, and a sign or brackets for a negative number off.
func bareNumber(s string) (bare string, negative, ok bool) {
	s = stripCurrency(s)
	if strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")") {
		return stripCurrency(s[1 : len(s)-1]), true, true
	}
	for _, minus := range []string{"-", "\u2212"} {
		if rest, found := strings.CutPrefix(s, minus); found {
			return stripCurrency(rest), true, true
		}
		if rest, found := strings.CutSuffix(s, minus); found {
			return stripCurrency(rest), true, true
		}
	}
	return stripCurrency(strings.TrimPrefix(s, "+")), false, s != ""
}

// stripCurrency takes blanks, currency signs and a code of up to three letters (EUR, kr, Rs.) off both ends. A point after letters
// is theirs.
func stripCurrency(s string) string {
	ends := func(r rune) bool {
		return strings.ContainsRune("$€£¥₹₽₩₪₫₺₴฿", r) || strings.ContainsRune(" \t\u00A0\u202F", r)
	}
	letter := func(r rune) bool { return 'a' <= r|0x20 && r|0x20 <= 'z' }
	s = strings.TrimFunc(s, ends)
	if rest := strings.TrimLeftFunc(s, letter); len(rest) < len(s) && len(s)-len(rest) <= 3 {
		s = strings.TrimPrefix(rest, ".")
	}
	abbreviation := strings.TrimSuffix(s, ".")
	if rest := strings.TrimRightFunc(abbreviation, letter); len(rest) < len(abbreviation) && len(abbreviation)-len(rest) <= 3 {
		s = rest
	}
	return strings.TrimFunc(s, ends)
}

// decimalSign gives the place of the decimal sign, or -1, and what the number tells of its file's. Where it is open, the place is
// that of the only sign.
func decimalSign(s string) (at int, told tells) {
	comma, point := strings.LastIndexByte(s, ','), strings.LastIndexByte(s, '.')
	at, sign := max(comma, point), byte('.')
	if comma > point {
		sign = ','
	}
	switch {
	case at < 0:
		return -1, tellsNothing
	case comma >= 0 && point >= 0:
	case strings.IndexByte(s, sign) < at: // it repeats
		if sign == '.' {
			return -1, tellsComma
		}
		return -1, tellsPoint
	case len(s)-at-1 == 3 && canGroup(s[:at]):
		if sign == '.' {
			return at, leavesPoint
		}
		return at, leavesComma
	}
	if sign == '.' {
		return at, tellsPoint
	}
	return at, tellsComma
}

// canGroup tells whether digits can be the first group of a number with thousands separators.
func canGroup(s string) bool {
	return len(s) > 0 && len(s) <= 3 && allDigits(s) && strings.Trim(s, "0") != ""
}

// ungroup removes one kind of thousands separator, which must stand before every third digit from the right; the Indian
// grouping in pairs is read too.
func ungroup(s string) (string, bool) {
	i := strings.IndexAny(s, ",.' \u00A0\u2009\u202F\u2019")
	if i < 0 {
		return s, true
	}
	separator := string([]rune(s[i:])[0])
	groups := strings.Split(s, separator)
	for j, g := range groups {
		last := j == len(groups)-1
		if last && len(g) != 3 || !last && (len(g) > 3 || len(g) < 1) || j > 0 && len(g) < 2 {
			return "", false
		}
	}
	return strings.Join(groups, ""), true
}

func allDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// cents rounds to hundredths, half away from zero.
func (d decimal) cents() (int64, bool) { return d.times(1, decimal{}) }

// times gives q x d - off in hundredths, rounded half away from zero. It is exact before that one rounding. The result is
// false where it exceeds maxCents.
func (d decimal) times(q int64, off decimal) (int64, bool) {
	if c, ok := d.timesFast(q, off); ok {
		return c, c <= maxCents && c >= -maxCents
	}
	scale := max(d.scale, off.scale, 2)
	n := new(big.Int).Mul(big.NewInt(d.m), big.NewInt(q))
	n.Mul(n, big.NewInt(pow10[scale-d.scale]))
	n.Sub(n, new(big.Int).Mul(big.NewInt(off.m), big.NewInt(pow10[scale-off.scale])))
	unit := big.NewInt(pow10[scale-2])
	half := new(big.Int).Quo(unit, big.NewInt(2))
	if n.Sign() < 0 {
		half.Neg(half)
	}
	n.Quo(n.Add(n, half), unit)
	if !n.IsInt64() || n.Int64() > maxCents || n.Int64() < -maxCents {
		return 0, false
	}
	return n.Int64(), true
}

// timesFast is times where everything fits into 62 bits.
func (d decimal) timesFast(q int64, off decimal) (int64, bool) {
	scale := max(d.scale, off.scale, 2)
	a, ok1 := mul(d.m, q)
	a, ok2 := mul(a, pow10[scale-d.scale])
	b, ok3 := mul(off.m, pow10[scale-off.scale])
	if !ok1 || !ok2 || !ok3 {
		return 0, false
	}
	n, unit := a-b, pow10[scale-2]
	half := unit / 2
	if n < 0 {
		half = -half
	}
	return (n + half) / unit, true
}

// mul multiplies; false where the product needs more than 61 bits.
func mul(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	return a * b, hi == 0 && lo < 1<<61
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return uint64(-a)
	}
	return uint64(a)
}

// whole gives the number where it has no fraction.
func (d decimal) whole() (int64, bool) {
	unit := pow10[d.scale]
	return d.m / unit, d.m%unit == 0
}
