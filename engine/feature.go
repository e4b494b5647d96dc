package engine

import (
	"math"
	"time"
)

// Features is what one customer's orders say at one instant.
type Features struct {
	PurchaseHistory
	// ValueCents is the value of all orders, less discounts and the refunds known by then.
	ValueCents int64
	// Active is whether a line, a refund or a cancellation fell into the interval since the instant before (in the first instant: ever).
	Active bool
	// Values holds all features in the registry's order, in their Scale, NaN where undefined. len is FeatureCount.
	Values []float32
}

// Instant is a moment at which features are wanted.
type Instant struct {
	// At is the moment: lines with OrderedAt before it count.
	At time.Time
	// KnownAt, where not zero, is an earlier moment: only what was known then counts, seen from At. With it the passing of
	// time is told from what the customer did.
	KnownAt time.Time
	// Reference is what features need to know of the store at that moment.
	Reference *Reference
}

// Reference is what features at an instant need to know of the store: made once a calendar month, from what was ordered
// before Month, but for what was cancelled, be it later: so it is the same whether a cancelled order was known before or
// never. It is stored whole, as JSON. A nil Reference is that of a store without a complete month: shares are
// shrunk to 1/2 and price features are undefined; what a Reference lacks is taken likewise.
type Reference struct {
	Month Date `json:"month"` // the first of a month
	// Shares holds, by feature key, the store means that the customers' shares are shrunk to: of all orders before Month.
	Shares map[string]float64 `json:"shares"`
	// Prices holds, by SKU, the median net price of a unit over the 365 days before Month, in units of the currency, for
	// SKUs with at least 5 lines sold in that time.
	Prices map[string]float32 `json:"prices,omitempty"`
	// Categories holds, by category path, the prices of a unit before discount over the same days, in units of the
	// currency: 41 quantiles from the lowest to the highest in steps of 2.5 %.
	Categories map[string][]float32 `json:"categories,omitempty"`
}

// ReferenceMonth gives the month whose Reference an instant uses: what was ordered before the first of the instant's own
// month is known by then, and is whole months.
func ReferenceMonth(at time.Time, zone *time.Location) Date { return DateOf(at, zone).Month() }

// Table holds features of many customers at one instant, as columns of equal length.
type Table struct {
	AsOf       Date
	Columns    Columns
	CustomerID []int64
	Purchases  []int32
	ValueCents []int64
	TenureDays []int32   // since the first purchase, at least 1
	Values     []float32 // Len() x FeatureCount, row-major
	Histories  []PurchaseHistory
}

// Len is the number of customers.
func (t *Table) Len() int { return len(t.Purchases) }

// Append adds a customer.
func (t *Table) Append(customerID int64, f *Features) {
	t.CustomerID = append(t.CustomerID, customerID)
	t.Purchases = append(t.Purchases, int32(f.Purchases))
	t.ValueCents = append(t.ValueCents, f.ValueCents)
	t.TenureDays = append(t.TenureDays, int32(max(1, t.AsOf-f.FirstAt)))
	t.Values = append(t.Values, f.Values...)
	t.Histories = append(t.Histories, f.PurchaseHistory)
}

// Row gives the features of customer i; the slice is the table's own.
func (t *Table) Row(i int) []float32 { return t.Values[i*FeatureCount : (i+1)*FeatureCount] }

// Validate refuses a table whose columns do not fit together or that holds an infinite value.
func (t *Table) Validate() error {
	n := t.Len()
	for _, length := range []int{len(t.ValueCents), len(t.TenureDays), len(t.CustomerID)} {
		if length != n {
			return Errorf(CodeInvalid, "the columns of the table differ in length: %d purchases and %d others", n, length)
		}
	}
	if len(t.Values) != n*FeatureCount {
		return Errorf(CodeInvalid, "the table has %d feature values, and %d customers need %d", len(t.Values), n, n*FeatureCount)
	}
	for i, v := range t.Values {
		if math.IsInf(float64(v), 0) {
			return Errorf(CodeInvalid, "feature %d of customer %d is infinite; leave it undefined (NaN)", i%FeatureCount, t.CustomerID[i/FeatureCount])
		}
	}
	return nil
}

// atPurchases is the place of the number of purchases among all features.
const atPurchases = 0

// PurchasesOf reads the number of purchases from all features of a customer, where it stands as ln(1 + N).
func PurchasesOf(values []float32) int {
	return int(math.Round(math.Expm1(float64(values[atPurchases]))))
}
