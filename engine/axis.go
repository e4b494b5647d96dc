package engine

// Dimension is the group of an axis.
type Dimension string

// The four groups.
const (
	DimensionPurchase Dimension = "PURCHASE"
	DimensionLoyalty  Dimension = "LOYALTY"
	DimensionCategory Dimension = "CATEGORY"
	DimensionTemporal Dimension = "TEMPORAL"
)

// Scale is the form in which a feature is computed, stored and clustered; it is shown in its unit.
type Scale int8

// The forms.
const (
	ScalePlain Scale = iota // the value itself
	ScaleLog                // ln of the value
	ScaleLog1p              // ln of 1 + the value
)

// Lever says which way a customer's own doing can move a feature: by how many orders, how far apart, of what value, or out
// of how many categories.
type Lever int8

// The levers.
const (
	LeverNone Lever = iota // past, or not up to the customer, such as tenure
	LeverUp                // what was bought stays bought
	LeverBoth
)

// Feature is one number that an axis is clustered by.
type Feature struct {
	Key   string // stable
	Name  string // for people
	Unit  string // of the shown value; empty for a plain ratio or count
	Scale Scale
	Lever Lever
	Count bool    // the shown value is a whole number
	Needs Columns // without these the feature is off in a store
	// Few is shown for a low value, Many for a high one: the two words that names of segments are made of.
	Few, Many string
}

// Axis is one dimension of behaviour, clustered on its own. The registry is fixed: keys appear in the API, in the
// database and in URLs, and a thumbprint lists axes in this order.
type Axis struct {
	Key         string
	Name        string
	Description string
	Dimension   Dimension
	// MinPurchases is how many purchases a customer needs to be eligible.
	MinPurchases int
	Features     []Feature
	// First is the index of the axis's first feature in Features.Values.
	First int
}

// AxisCount is the number of axes.
const AxisCount = 14

// FeatureCount is the number of features of all axes together.
const FeatureCount = 51

// Axes is the registry, after the specification of the fourteen axes. Do not change it at run time.
var Axes = numbered([AxisCount]Axis{
	{
		Key: "purchase_frequency", Name: "Purchase frequency", Dimension: DimensionPurchase, MinPurchases: 1,
		Description: "How often the customer buys, now and over the whole relation.",
		Features: []Feature{
			{Key: "purchases", Name: "Purchases", Unit: "purchases", Scale: ScaleLog1p, Lever: LeverUp, Count: true, Few: "few purchases", Many: "many purchases"},
			{Key: "purchases_per_month", Name: "Purchases a month", Unit: "purchases a month", Scale: ScaleLog, Lever: LeverBoth, Few: "seldom", Many: "often"},
			{Key: "recent_purchases", Name: "Purchases of late, fading over 90 days", Unit: "purchases", Scale: ScaleLog1p, Lever: LeverBoth, Few: "quiet of late", Many: "busy of late"},
			{Key: "active_share", Name: "Share of 30-day windows with a purchase", Few: "rarely active", Many: "steadily active"},
		},
	},
	{
		Key: "purchase_value", Name: "Purchase value", Dimension: DimensionPurchase, MinPurchases: 1,
		Description: "How much money the customer spends, in all and at a time.",
		Features: []Feature{
			{Key: "total_value", Name: "Value of all orders less refunds", Unit: "currency", Scale: ScaleLog1p, Lever: LeverUp, Few: "low total", Many: "high total"},
			{Key: "median_order_value", Name: "Median value of an order", Unit: "currency", Scale: ScaleLog1p, Lever: LeverBoth, Few: "small orders", Many: "large orders"},
			{Key: "max_order_value", Name: "Largest order", Unit: "currency", Scale: ScaleLog1p, Lever: LeverUp, Few: "low peak", Many: "high peak"},
		},
	},
	{
		Key: "price_sensitivity", Name: "Price sensitivity", Dimension: DimensionPurchase, MinPurchases: 1,
		Description: "How far discounts and low prices go with the customer's orders.",
		Features: []Feature{
			{Key: "discounted_orders", Name: "Share of orders with a discount", Needs: ColumnDiscount, Few: "seldom discounted", Many: "often discounted"},
			{Key: "discount_rate", Name: "Discount as a share of gross value", Needs: ColumnDiscount, Few: "small discounts", Many: "deep discounts"},
			{Key: "relative_price", Name: "Price paid against the article's median", Scale: ScaleLog, Needs: ColumnSKU, Few: "pays below the usual price", Many: "pays above the usual price"},
		},
	},
	{
		Key: "value_sophistication", Name: "Value sophistication", Dimension: DimensionPurchase, MinPurchases: 1,
		Description: "Where in the price range of its categories the customer buys.",
		Features: []Feature{
			{Key: "price_percentile", Name: "Mean price percentile within the category", Needs: ColumnCategory, Few: "budget articles", Many: "premium articles"},
			{Key: "price_spread", Name: "Spread of price percentiles", Needs: ColumnCategory, Few: "one price level", Many: "mixed price levels"},
			{Key: "premium_share", Name: "Share of units above the 75th price percentile", Needs: ColumnCategory, Few: "few premium units", Many: "many premium units"},
			{Key: "splurge_share", Name: "Share of orders over twice the own median", Few: "even spending", Many: "splurges"},
		},
	},
	{
		Key: "basket_composition", Name: "Basket composition", Dimension: DimensionPurchase, MinPurchases: 1,
		Description: "How large and how varied an order is.",
		Features: []Feature{
			{Key: "units_per_order", Name: "Units an order", Unit: "units", Scale: ScaleLog, Few: "small baskets", Many: "big baskets"},
			{Key: "skus_per_order", Name: "Different articles an order", Unit: "articles", Scale: ScaleLog, Needs: ColumnSKU, Few: "few articles", Many: "many articles"},
			{Key: "mixed_orders", Name: "Share of orders across categories", Needs: ColumnCategory, Lever: LeverBoth, Few: "one category at a time", Many: "mixed categories"},
			{Key: "bulk_share", Name: "Share of units in lines of 3 or more", Few: "single units", Many: "bulk"},
		},
	},
	{
		Key: "customer_maturity", Name: "Customer maturity", Dimension: DimensionLoyalty, MinPurchases: 1,
		Description: "How long the relation is, and how much of it was active.",
		Features: []Feature{
			{Key: "tenure", Name: "Days since the first purchase", Unit: "days", Scale: ScaleLog1p, Few: "new", Many: "long-standing"},
			{Key: "active_span", Name: "Share of the tenure between first and last purchase", Few: "active only briefly", Many: "active throughout"},
			{Key: "days_to_second", Name: "Days to the second purchase", Unit: "days", Scale: ScaleLog, Few: "came back fast", Many: "came back late"},
		},
	},
	{
		Key: "loyalty_trajectory", Name: "Loyalty trajectory", Dimension: DimensionLoyalty, MinPurchases: 3,
		Description: "Whether the customer is speeding up, slowing down or falling silent.",
		Features: []Feature{
			{Key: "recent_trend", Name: "Purchases of the last 90 days against the 90 before", Scale: ScaleLog, Lever: LeverBoth, Few: "fewer purchases lately", Many: "more purchases lately"},
			{Key: "gap_slope", Name: "Trend of the gaps between purchases", Few: "speeding up", Many: "slowing down"},
			{Key: "value_slope", Name: "Trend of order value", Few: "shrinking orders", Many: "growing orders"},
			{Key: "relative_recency", Name: "Silence in usual gaps", Unit: "usual gaps", Scale: ScaleLog1p, Lever: LeverBoth, Few: "on schedule", Many: "overdue"},
		},
	},
	{
		Key: "repurchase_behavior", Name: "Repurchase behaviour", Dimension: DimensionLoyalty, MinPurchases: 2,
		Description: "How far the customer buys the same articles again.",
		Features: []Feature{
			{Key: "repeated_skus", Name: "Share of articles bought in two or more orders", Needs: ColumnSKU, Few: "seldom the same article", Many: "often the same articles"},
			{Key: "repeat_lines", Name: "Share of later lines bought before", Needs: ColumnSKU, Few: "mostly new lines", Many: "mostly repeat lines"},
			{Key: "repurchase_interval", Name: "Median days to the same article again", Unit: "days", Scale: ScaleLog, Needs: ColumnSKU, Lever: LeverBoth, Few: "fast replenishment", Many: "slow replenishment"},
		},
	},
	{
		Key: "return_behavior", Name: "Return behaviour", Dimension: DimensionLoyalty, MinPurchases: 1,
		Description: "How much of what is bought comes back.",
		Features: []Feature{
			{Key: "refunded_value", Name: "Refunded share of value", Needs: ColumnReturns, Few: "little refunded", Many: "much refunded"},
			{Key: "refunded_units", Name: "Refunded share of units", Needs: ColumnReturns, Few: "few units returned", Many: "many units returned"},
			{Key: "refunded_orders", Name: "Share of orders with a refund", Needs: ColumnReturns, Few: "seldom returns", Many: "often returns"},
		},
	},
	{
		Key: "problem_complexity", Name: "Problem complexity", Dimension: DimensionLoyalty, MinPurchases: 2,
		Description: "How changing and how troubled the customer's purchases are.",
		Features: []Feature{
			{Key: "category_switches", Name: "Share of orders that change the main category", Needs: ColumnCategory, Few: "keeps to its category", Many: "switches categories"},
			{Key: "novel_skus", Name: "Share of later lines with a new article", Needs: ColumnSKU, Few: "familiar articles", Many: "new articles"},
			{Key: "partial_refunds", Name: "Share of refunds that are partial", Needs: ColumnReturns, Few: "full refunds", Many: "partial refunds"},
			{Key: "recovered_refunds", Name: "Share of refunds followed by an order within 60 days", Needs: ColumnReturns, Few: "lost after refunds", Many: "back after refunds"},
		},
	},
	{
		Key: "category_exploration", Name: "Category exploration", Dimension: DimensionCategory, MinPurchases: 1,
		Description: "How widely the customer buys across categories.",
		Features: []Feature{
			{Key: "category_entropy", Name: "Entropy of spend over categories", Unit: "nats", Needs: ColumnCategory, Lever: LeverBoth, Few: "focused", Many: "wide-ranging"},
			{Key: "expected_categories", Name: "Expected categories in 5 lines", Unit: "categories", Needs: ColumnCategory, Lever: LeverBoth, Few: "few categories", Many: "many categories"},
			{Key: "exploring_orders", Name: "Share of later orders that add a category", Needs: ColumnCategory, Lever: LeverBoth, Few: "settled", Many: "exploring"},
		},
	},
	{
		Key: "product_knowledge", Name: "Product knowledge", Dimension: DimensionCategory, MinPurchases: 1,
		Description: "How deep the customer goes into its main category.",
		Features: []Feature{
			{Key: "top_category_share", Name: "Spend share of the top category", Needs: ColumnCategory, Lever: LeverBoth, Few: "spread over categories", Many: "one main category"},
			{Key: "sku_concentration", Name: "Concentration of articles", Needs: ColumnSKU, Few: "varied articles", Many: "few favourite articles"},
			{Key: "deep_categories", Name: "Categories with 3 or more orders", Unit: "categories", Scale: ScaleLog1p, Needs: ColumnCategory, Lever: LeverUp, Count: true, Few: "no deep category", Many: "several deep categories"},
			{Key: "top_category_skus", Name: "Different articles in the top category", Unit: "articles", Scale: ScaleLog, Needs: ColumnCategory | ColumnSKU, Few: "shallow", Many: "deep"},
		},
	},
	{
		Key: "purchase_cadence", Name: "Purchase cadence", Dimension: DimensionTemporal, MinPurchases: 1,
		Description: "At which hours, days and seasons the customer buys.",
		Features: []Feature{
			{Key: "weekend_share", Name: "Share of weekend orders", Few: "weekday", Many: "weekend"},
			{Key: "office_hours_share", Name: "Share of orders from 9 to 17 h", Needs: ColumnTimeOfDay, Few: "outside office hours", Many: "office hours"},
			{Key: "hour_cosine", Name: "Mean cosine of the hour", Needs: ColumnTimeOfDay, Few: "midday", Many: "midnight"},
			{Key: "hour_sine", Name: "Mean sine of the hour", Needs: ColumnTimeOfDay, Few: "evening", Many: "morning"},
			{Key: "seasonality", Name: "Concentration in one season", Few: "all year", Many: "seasonal"},
		},
	},
	{
		Key: "purchase_regularity", Name: "Purchase regularity", Dimension: DimensionTemporal, MinPurchases: 3,
		Description: "How even the gaps between purchases are, and how long the present one is.",
		Features: []Feature{
			{Key: "recency", Name: "Days since the last purchase", Unit: "days", Scale: ScaleLog1p, Lever: LeverBoth, Few: "just bought", Many: "long silent"},
			{Key: "median_gap", Name: "Median gap between purchases", Unit: "days", Scale: ScaleLog, Lever: LeverBoth, Few: "short gaps", Many: "long gaps"},
			{Key: "gap_variation", Name: "Variation of gaps", Few: "even gaps", Many: "uneven gaps"},
			{Key: "clumpiness", Name: "Clumpiness", Few: "evenly spread", Many: "in clumps"},
		},
	},
})

// numbered fills in where each axis's features begin.
func numbered(axes [AxisCount]Axis) [AxisCount]Axis {
	next := 0
	for i := range axes {
		axes[i].First = next
		next += len(axes[i].Features)
	}
	return axes
}

// Of gives the axis's part of all features.
func (a *Axis) Of(values []float32) []float32 { return values[a.First : a.First+len(a.Features)] }

// AxisIndex gives the place of an axis in the registry.
func AxisIndex(key string) (index int, ok bool) {
	for i := range Axes {
		if Axes[i].Key == key {
			return i, true
		}
	}
	return 0, false
}

// AxisStatus says whether there are memberships on an axis: of a store, of a customer, or on both sides of a drift.
type AxisStatus string

// The statuses.
const (
	AxisOn              AxisStatus = "ON"
	AxisOff             AxisStatus = "OFF"
	AxisTooFewCustomers AxisStatus = "TOO_FEW_CUSTOMERS"
	AxisNotFitted       AxisStatus = "NOT_FITTED"
	AxisNotEligible     AxisStatus = "NOT_ELIGIBLE"
	AxisNotComparable   AxisStatus = "NOT_COMPARABLE"
)

// MinEligibleCustomers is the least number of eligible customers for which an axis is fitted.
const MinEligibleCustomers = 100

// AxisReason says why there are no memberships on an axis.
type AxisReason string

// The reasons.
const (
	ReasonNone             AxisReason = ""
	ReasonNoSKU            AxisReason = "NO_SKU_DATA"
	ReasonNoCategory       AxisReason = "NO_CATEGORY_DATA"
	ReasonNoDiscount       AxisReason = "NO_DISCOUNT_DATA"
	ReasonNoReturns        AxisReason = "NO_RETURN_DATA"
	ReasonNoTime           AxisReason = "NO_TIME_DATA"
	ReasonTooFewFeatures   AxisReason = "TOO_FEW_FEATURES"
	ReasonTooFewCustomers  AxisReason = "TOO_FEW_CUSTOMERS"
	ReasonNoStructure      AxisReason = "NO_STRUCTURE"
	ReasonNoModel          AxisReason = "NO_MODEL"
	ReasonNeeds2Orders     AxisReason = "NEEDS_2_ORDERS"
	ReasonNeeds3Orders     AxisReason = "NEEDS_3_ORDERS"
	ReasonNoFeatures       AxisReason = "NO_FEATURES"
	ReasonModelsTooDistant AxisReason = "MODELS_TOO_DIFFERENT"
)

var reasonTexts = map[AxisReason]string{
	ReasonNoSKU:            "No order line names an article.",
	ReasonNoCategory:       "No order line names a category.",
	ReasonNoDiscount:       "No order line states a discount.",
	ReasonNoReturns:        "The orders know no returns or refunds.",
	ReasonNoTime:           "The orders have dates without a time of day.",
	ReasonTooFewFeatures:   "Several of the columns it needs are missing.",
	ReasonTooFewCustomers:  "Fewer than 100 customers are eligible.",
	ReasonNoStructure:      "Nothing that it looks at varies enough between customers to separate them.",
	ReasonNoModel:          "The store has not been clustered yet.",
	ReasonNeeds2Orders:     "The customer needs at least 2 purchases.",
	ReasonNeeds3Orders:     "The customer needs at least 3 purchases.",
	ReasonNoFeatures:       "A snapshot was stored without features, so it cannot be rescored.",
	ReasonModelsTooDistant: "Segments of the two models lie too far apart to be paired.",
}

// Text gives the reason as a sentence, and "" for none.
func (r AxisReason) Text() string { return reasonTexts[r] }

// Availability says whether a store with these columns can have the axis: it needs at least two features and at least
// half of them.
func (a *Axis) Availability(have Columns) (AxisStatus, AxisReason) {
	on := 0
	var missing Columns
	for i := range a.Features {
		if have.Has(a.Features[i].Needs) {
			on++
		} else {
			missing |= a.Features[i].Needs &^ have
		}
	}
	if on >= 2 && 2*on >= len(a.Features) {
		return AxisOn, ReasonNone
	}
	switch missing {
	case ColumnSKU:
		return AxisOff, ReasonNoSKU
	case ColumnCategory:
		return AxisOff, ReasonNoCategory
	case ColumnDiscount:
		return AxisOff, ReasonNoDiscount
	case ColumnReturns:
		return AxisOff, ReasonNoReturns
	case ColumnTimeOfDay:
		return AxisOff, ReasonNoTime
	default:
		return AxisOff, ReasonTooFewFeatures
	}
}

// Eligible says whether a customer with so many purchases has a place on the axis, and if not, why.
func (a *Axis) Eligible(purchases int) (bool, AxisReason) {
	switch {
	case purchases >= a.MinPurchases:
		return true, ReasonNone
	case a.MinPurchases == 3:
		return false, ReasonNeeds3Orders
	default:
		return false, ReasonNeeds2Orders
	}
}
