package engine

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// Say puts a value into words with the feature's unit: to three digits, or to a whole number where that has more.
func (f *Feature) Say(shown float64) string { return f.withUnit(f.number(shown)) }

// SayBeside is Say without the unit where the feature's name, which stands beside it, holds that.
func (f *Feature) SayBeside(shown float64) string { return f.beside(f.number(shown)) }

// threshold writes a bound in full.
func (f *Feature) threshold(shown float64) string {
	return f.beside(strconv.FormatFloat(shown, 'f', -1, 64))
}

func (f *Feature) beside(number string) string {
	if strings.Contains(f.LowerName(), f.Unit) {
		return number
	}
	return f.withUnit(number)
}

func (f *Feature) withUnit(number string) string {
	unit := f.Unit
	if number == "1" {
		unit = cmp.Or(singulars[unit], unit)
	}
	if unit == "" || unit == unitMoney {
		return number
	}
	return number + " " + unit
}

const unitMoney = "currency"

func (f *Feature) number(shown float64) string {
	if f.Unit == unitMoney {
		return strconv.FormatFloat(shown, 'f', 2, 64)
	}
	digits := 0
	if size := math.Abs(shown); size > 0 && size < 100 && !f.Count {
		digits = min(2-int(math.Floor(math.Log10(size))), 6)
	}
	text := strconv.FormatFloat(shown, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// singulars are units of one.
var singulars = map[string]string{
	"purchases": "purchase", "purchases a month": "purchase a month", "units": "unit", "articles": "article", "days": "day",
	"usual gaps": "usual gap", "nats": "nat", "categories": "category",
}

// LowerName is the name as it stands within a sentence.
func (f *Feature) LowerName() string { return strings.ToLower(f.Name[:1]) + f.Name[1:] }

// Shown turns a stored value into the feature's unit.
func (f *Feature) Shown(stored float64) float64 {
	switch f.Scale {
	case ScaleLog:
		return math.Exp(stored)
	case ScaleLog1p:
		return math.Expm1(stored)
	default:
		return stored
	}
}

// Stored turns a value in the feature's unit into the form in which it is computed and clustered.
func (f *Feature) Stored(shown float64) float64 {
	switch f.Scale {
	case ScaleLog:
		return math.Log(shown)
	case ScaleLog1p:
		return math.Log1p(shown)
	default:
		return shown
	}
}
