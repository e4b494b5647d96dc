package ingest

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/quimbi/quimbi/engine"
)

func TestDecimals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{
		"0": 0, "-0.00": 0, "12": 12, "12.5": 12.5, "12,5": 12.5, "12,50": 12.5, "1,234": 1234, "1.234": 1.234, "1,234.5": 1234.5,
		"1.234,5": 1234.5, "1 234,50": 1234.5, "1'234.50": 1234.5, "1.234.567": 1234567, "12,34,567.8": 1234567.8, "$5": 5,
		"5 €": 5, "EUR 5.5": 5.5, "5.5 kr": 5.5, "(5.00)": -5, "-$5": -5, "$-5": -5, "5-": -5, "\u22125": -5, "+5": 5, ".5": 0.5,
		"5.": 5, "0.1234567890123456789": 0.12345678901234568, "000000000000000000000012": 12,
	} {
		d, _, ok := parseDecimal([]byte(text), signsPoint)
		if got := float64(d.m) / math.Pow10(d.scale); !ok || math.Abs(got-want) > 1e-12 {
			t.Errorf("%q is %v (%v)", text, got, ok)
		}
	}
	for _, text := range []string{"", "-", "x", "1x2", "1..2", "1,2,3", "1,2345,678", "--5", "(5", "$", "1234567890123456789", "1e3", "5 6"} {
		for s := range signsComma + 1 {
			if d, _, ok := parseDecimal([]byte(text), s); ok {
				t.Errorf("%q is %v", text, d)
			}
		}
	}
	for _, test := range []struct {
		price, off string
		quantity   int64
		want       int64
	}{
		{"1.005", "0", 1, 101},
		{"-1.005", "0", 1, -101},
		{"14.665", "0", 2, 2933},
		{"0.333333", "0", 3, 100},
		{"2.5", "0", -3, -750},
		{"319.148889", "0.000001", 9, 287_234},
		{"1.12345678901234567", "0.01", 2_000_000_000, 224_691_357_801},
	} {
		price, _, _ := parseDecimal([]byte(test.price), signsPoint)
		off, _, _ := parseDecimal([]byte(test.off), signsPoint)
		if got, ok := price.times(test.quantity, off); !ok || got != test.want {
			t.Errorf("%d x %s - %s = %d, want %d", test.quantity, test.price, test.off, got, test.want)
		}
	}
}

// What a number says of its file, and what it is by each decision: by points, by commas, by a format that writes points, and by none.
func TestSigns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		told tells
		by   string // "-": it cannot be read
	}{
		"1":            {tellsNothing, "1 1 1 1"},
		"1 234":        {tellsNothing, "1234 1234 1234 1234"},
		"12.5":         {tellsPoint, "12.5 12.5 12.5 12.5"},
		"12,50":        {tellsComma, "12.50 12.50 12.50 12.50"},
		"1,234.50":     {tellsPoint, "1234.50 1234.50 1234.50 1234.50"},
		"1.234,50":     {tellsComma, "1234.50 1234.50 1234.50 1234.50"},
		"1,234,567":    {tellsPoint, "1234567 1234567 1234567 1234567"},
		"1.234.567":    {tellsComma, "1234567 1234567 1234567 1234567"},
		"1.234":        {leavesPoint, "1.234 1234 1.234 -"},
		"-$999.000":    {leavesPoint, "-999.000 -999000 -999.000 -"},
		"1,234":        {leavesComma, "1234 1.234 - -"},
		"1234.567":     {tellsPoint, "1234.567 1234.567 1234.567 1234.567"},
		"0.567":        {tellsPoint, "0.567 0.567 0.567 0.567"},
		"0,567":        {tellsComma, "0.567 0.567 0.567 0.567"},
		",567":         {tellsComma, "0.567 0.567 0.567 0.567"},
		"1 234,567":    {tellsComma, "1234.567 1234.567 1234.567 1234.567"},
		"1'234.567":    {tellsPoint, "1234.567 1234.567 1234.567 1234.567"},
		"12,34,567.89": {tellsPoint, "1234567.89 1234567.89 1234567.89 1234567.89"},
		"Rs.500":       {tellsNothing, "500 500 500 500"},
		"1.234 kr.":    {leavesPoint, "1.234 1234 1.234 -"},
		"x.y":          {tellsNothing, "- - - -"},
	} {
		var by []string
		for _, s := range []signs{signsPoint, signsComma, signsOwn, signsOpen} {
			d, told, ok := parseDecimal([]byte(text), s)
			if told != want.told {
				t.Errorf("%q tells %d, want %d", text, told, want.told)
			}
			by = append(by, "-")
			if ok {
				by[len(by)-1] = string(d.append(nil))
			}
		}
		if got := strings.Join(by, " "); got != want.by {
			t.Errorf("%q is %s, want %s", text, got, want.by)
		}
	}
}

// Numbers that can be read both ways are read by the whole file's evidence, or set aside: never a thousand times too large or small.
func TestNumbersOfAFile(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	const normalised, foreign = "customer_id;ordered_at;quantity;unit_price", "Customer no;Date;Qty;Price"
	for _, test := range []struct {
		head, rows string // quantity and price of each row, separated by blanks
		comma      byte
		told       *bool
		want       string // cents of each row, "-" for one set aside
		numbers    string
	}{
		{foreign, "1;1.234 1;12,50", ';', nil, "123400 1250", NumbersComma},
		{foreign, "1.000;12,50 2;1.000", ';', nil, "1250000 200000", NumbersComma},
		{foreign, "1;1,250 1;12,5", ',', nil, "125 1250", NumbersComma},
		{foreign, "1;1,250 1;12.5", ',', nil, "125000 1250", NumbersPoint},
		{foreign, "1;1.250 1;12.5", ';', nil, "125 1250", NumbersPoint},
		{foreign, "1;1.250 1;950", ';', nil, "- 95000", NumbersUndecided},
		{foreign, "1;1.250 1;950", ',', nil, "- 95000", NumbersUndecided},
		{foreign, "1;950 1;12", ',', nil, "95000 1200", ""},
		{foreign, "1;1.250 1;1,250 1;12.5 1;12,5", ',', nil, "- - 1250 1250", NumbersMixed},
		{foreign, "1;1.250 1;1,250 1;12.5 1;12,5", ',', &yes, "125000 125 1250 1250", NumbersComma},
		{foreign, "1;1.250 1;1,250 1;12.5 1;12,5", ',', &no, "125 125000 1250 1250", NumbersPoint},
		{normalised, "1;1.250 1;950", ',', nil, "125 95000", NumbersPoint}, // the format says so
		{normalised, "1;1,250 1;950", ',', nil, "- 95000", NumbersUndecided},
		{normalised, "1;1.250 1;950", ';', nil, "- 95000", NumbersUndecided}, // a spreadsheet wrote it anew
		{normalised, "1;1.250 1;9,50", ',', nil, "125000 950", NumbersComma},
		{normalised, "1;1.250 1;12.345,6", ',', &no, "125 1234560", NumbersPoint},
	} {
		text := strings.ReplaceAll(test.head, ";", string(test.comma)) + "\n"
		for row := range strings.FieldsSeq(test.rows) {
			quantity, price, _ := strings.Cut(row, ";")
			text += strings.Join([]string{"a", "2020-01-01", `"` + quantity + `"`, `"` + price + `"`}, string(test.comma)) + "\n"
		}
		got := readText(t, text, Options{DecimalComma: test.told})
		cents := make([]string, got.Rows)
		for i := range cents {
			cents[i] = "-"
		}
		for _, r := range got.records {
			cents[r.Line-2] = strconv.FormatInt(r.NetCents, 10)
		}
		if diff := cmp.Diff(test.want, strings.Join(cents, " ")); diff != "" || got.Numbers != test.numbers {
			t.Errorf("%s, separated by %c: %s (%q)", test.rows, test.comma, diff, got.Numbers)
		}
		for _, r := range got.rejects {
			if !strings.Contains(r.Detail, "--decimal-point or --decimal-comma") {
				t.Errorf("%s", r.Detail)
			}
		}
	}
}

// The beginning of a file decides; what contradicts it further on changes nothing that was read, but ends the file or the decision.
func TestNumbersContradictLate(t *testing.T) {
	t.Parallel()
	far := strings.Repeat("a,2020-01-01,1,12.50\n", 2*headSize/len("a,2020-01-01,1,12.50\n"))
	const head = "Customer no,Date,Qty,Price\n"
	_, err := readAll(t, strings.NewReader(head+"a,2020-01-01,1,1.250\n"+far+"a,2020-01-01,1,\"12,50\"\n"), Options{})
	if engine.CodeOf(err) != engine.CodeInvalid || !strings.Contains(err.Error(), "in line 2 are: say --decimal-point or --decimal-comma") {
		t.Error(err)
	}
	// The decision is made from whole rows only: not from 12 of 12.50, wherever the first part ends.
	for cut := 0; cut < 28; cut += 3 {
		note := strings.Repeat("x", cut)
		got := readText(t, "Customer no,Date,Note,Qty,Price\na,2020-01-01,"+note+",1,\"1,250\"\n"+
			strings.Repeat("a,2020-01-01,,1,\"1,250.00\"\n", headSize/len("a,2020-01-01,,1,\"1,250.00\"\n")+10), Options{})
		if got.Numbers != NumbersPoint || got.Rejected > 0 {
			t.Errorf("%d: %+v", cut, got.Summary)
		}
	}
	got := readText(t, head+far+"a,2020-01-01,1,\"12,50\"\na,2020-01-01,1,1.250\n", Options{})
	if got.Rejected != 1 || got.Numbers != NumbersMixed || got.rejects[0].Line != got.Rows+1 {
		t.Errorf("%+v", got.Summary)
	}
}
