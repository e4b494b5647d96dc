package engine

// Reference is what features at an instant need to know of the store: made once a calendar month, from what was ordered
// before Month. It is stored whole, as JSON. A nil Reference is that of a store without a complete month: shares are
// shrunk to 1/2 and price features are undefined.
type Reference struct {
	Month Date `json:"month"` // the first of a month
	// Shares holds, by feature key, the store means that the customers' shares are shrunk to.
	Shares map[string]float64 `json:"shares"`
	// Prices holds, by SKU, the median net price of a unit over the 365 days before Month, in units of the currency, for
	// SKUs with at least 5 lines sold in that time.
	Prices map[string]float32 `json:"prices,omitempty"`
	// Categories holds, by category path, the prices of a unit before discount over the same days, in units of the
	// currency: 41 quantiles from the lowest to the highest in steps of 2.5 %.
	Categories map[string][]float32 `json:"categories,omitempty"`
}
