package engine

// Two parts of the customers are clustered on their own, apart from the thumbprint: those who came back, and those who
// bought once, of whom most axes see one large group.

// PartReport is what was found in a part of the customers. Unless Status is ON there are no segments.
type PartReport struct {
	Status    AxisStatus   `json:"status"`
	Reason    AxisReason   `json:"reason,omitempty"`
	Customers int          `json:"customers"` // in the part
	Features  []string     `json:"features"`  // keys of those in use
	K         int          `json:"k"`         // clusters at the top; 0 where strata are all there is
	Segments  []SubSegment `json:"segments"`  // leaves in the order of the tree, largest first, then the exceptional
}

// SubSegment is a leaf of a report's tree.
type SubSegment struct {
	Path       string   `json:"path"` // in the report's tree, for example seg_0.1
	Name       string   `json:"name"`
	Stratum    Stratum  `json:"stratum,omitempty"`
	Members    int      `json:"members"`
	Share      float64  `json:"share"` // of the part, 0 to 1
	StopReason string   `json:"stopReason"`
	Division   Division `json:"division"`
	Profile    Profile  `json:"profile"`
}

// RepeatAxis is what repeat customers are clustered by in their report. It is no axis of a thumbprint.
var RepeatAxis = Axis{
	Key: "repeat_customers", Name: "Repeat customers", MinPurchases: 2,
	Description: "How many purchases, how often, and of what value in all.",
	Features: []Feature{
		{Key: "purchases", Name: "Purchases", Unit: "purchases", Scale: ScaleLog, Few: "few purchases", Many: "many purchases"},
		{Key: "purchases_per_month", Name: "Purchases a month", Unit: "purchases a month", Scale: ScaleLog, Few: "seldom", Many: "often"},
		{Key: "total_value", Name: "Value of all orders less refunds", Unit: "currency", Scale: ScaleLog, Few: "low total", Many: "high total"},
	},
}
