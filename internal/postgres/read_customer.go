package postgres

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// CustomerRef names a customer.
type CustomerRef struct {
	StoreID    int32
	CustomerID int64
}

// CustomerKey names a customer as its store does.
type CustomerKey struct {
	StoreID int32
	Key     string
}

// CustomerSort is what customers are ordered by.
type CustomerSort int

// The orders.
const (
	SortByKey CustomerSort = iota
	SortByValue
	SortByOrders
	SortByLastOrder
	SortByDrift
	SortByChurnRisk
	SortByLTV
)

// customerSorts are the SQL of the orders: the key, its type, and whether it may be NULL, which comes last.
var customerSorts = map[CustomerSort]struct {
	key, kind string
	nullable  bool
}{
	SortByValue:     {"c.value_cents", "bigint", false},
	SortByOrders:    {"c.orders", "int", false},
	SortByLastOrder: {"c.last_order_at", "timestamptz", true},
	SortByDrift:     {"cs.largest_drift", "real", true},
	SortByChurnRisk: {"cs.churn_risk", "real", true},
	SortByLTV:       {"cs.predicted_ltv_cents", "bigint", true},
}

// CustomerCursor is a place in an ordered list of customers.
type CustomerCursor struct {
	Value   *string // of the key that the list is ordered by, as text; nil where it has none, or is ordered by the customer's key
	Key     string
	StoreID int32
}

// MarkMatch is a condition on the byte that a customer has on each axis: on one of these axes its bits under the mask are one of the
// values, or, where Not is set, are known and on none of them so.
type MarkMatch struct {
	Axes   []int
	Mask   int
	Values []int
	Not    bool
}

func (m *MarkMatch) filter(s *statement) {
	values := s.arg(m.Values) + "::int[]"
	any := "false"
	for _, axis := range m.Axes {
		any += " OR get_byte(cs.mark, " + strconv.Itoa(axis) + ") & " + strconv.Itoa(m.Mask) + " = ANY (" + values + ")"
	}
	if m.Not {
		any = "cs.mark IS NOT NULL AND NOT (" + any + ")"
	}
	s.where(any)
}

// SegmentMatch is a segment as a condition: dominant is one of these positions.
type SegmentMatch struct {
	StoreID   int32
	Model     int
	Axis      int
	Positions []int16
}

// CustomerQuery is a page of customers. What is set must all hold.
type CustomerQuery struct {
	StoreIDs []int32
	Prefix   string // of the customer's key
	Segments []SegmentMatch
	// MinUnits is the membership in a segment, in units of 1/10000, with which a customer counts who is not dominant there; 0: none.
	MinUnits   int
	Marks      []MarkMatch
	Severities []engine.Severity
	MinValue   *int64 // cents
	MaxValue   *int64
	MinRisk    *float64
	MaxRisk    *float64
	FirstFrom  *engine.Date // of the first order
	FirstTo    *engine.Date
	// AsOf tells everything, conditions and order too, as it was at the beginning of that day; nil: now. Marks are of now alone. Segments, severities,
	// risks and the orders by them or by drift know only customers who have a snapshot of the day.
	AsOf       *engine.Date
	Sort       CustomerSort
	Descending bool
	After      *CustomerCursor
	Before     *CustomerCursor
	Window
}

// ListedCustomer is a customer and where it lies in the list.
type ListedCustomer struct {
	PastCustomer // Computed is false for now
	Cursor       CustomerCursor
}

const customerFields = `c.store_id, c.customer_id, c.customer_key, c.first_order_at, c.last_order_at, c.orders, c.value_cents`

func customerTargets(c *engine.Customer, first, last **time.Time) []any {
	return []any{&c.StoreID, &c.ID, &c.Key, first, last, &c.Orders, &c.ValueCents}
}

func scanCustomer(row pgx.CollectableRow) (*engine.Customer, error) {
	var c engine.Customer
	var first, last *time.Time
	err := row.Scan(customerTargets(&c, &first, &last)...)
	c.FirstOrderAt, c.LastOrderAt = timeOf(first), timeOf(last)
	return &c, err
}

func scanListedCustomer(row pgx.CollectableRow) (*ListedCustomer, error) {
	var c ListedCustomer
	var first, last *time.Time
	err := row.Scan(append(customerTargets(&c.Customer, &first, &last), &c.Computed, &c.Cursor.Value)...)
	c.FirstOrderAt, c.LastOrderAt = timeOf(first), timeOf(last)
	c.Cursor.Key, c.Cursor.StoreID = c.Key, c.StoreID
	return &c, err
}

// severityRanges are the drifts of the classes.
var severityRanges = map[engine.Severity]string{
	engine.SeverityStable:      "cs.largest_drift < 0.1",
	engine.SeverityMinor:       "cs.largest_drift >= 0.1 AND cs.largest_drift < 0.3",
	engine.SeverityModerate:    "cs.largest_drift >= 0.3 AND cs.largest_drift < 0.5",
	engine.SeveritySignificant: "cs.largest_drift >= 0.5 AND cs.largest_drift < 0.7",
	engine.SeverityMajor:       "cs.largest_drift >= 0.7",
}

// filter adds the conditions.
func (q *CustomerQuery) filter(s *statement) {
	if q.Prefix != "" {
		s.where("starts_with(c.customer_key, ?)", q.Prefix)
	}
	if q.MinValue != nil {
		s.where("c.value_cents >= ?", *q.MinValue)
	}
	if q.MaxValue != nil {
		s.where("c.value_cents <= ?", *q.MaxValue)
	}
	if q.FirstFrom != nil {
		s.where("c.first_order_at >= ?::date::timestamp AT TIME ZONE t.time_zone", dateParam(*q.FirstFrom))
	}
	if q.FirstTo != nil {
		s.where("c.first_order_at < ?::date::timestamp AT TIME ZONE t.time_zone", dateParam(*q.FirstTo))
	}
	if q.Segments != nil {
		any := "false"
		for _, m := range q.Segments {
			positions := s.arg(m.Positions) + "::smallint[]"
			any += " OR c.store_id = " + s.arg(m.StoreID) + " AND cs.model_id = " + s.arg(m.Model) + " AND (dominant_at(cs.dominant, " + s.arg(m.Axis) + ") = ANY (" + positions + ")"
			if q.MinUnits > 0 {
				any += " OR " + unitsIn("cs.membership", positions) + " >= " + s.arg(q.MinUnits)
			}
			any += ")"
		}
		s.where(any)
	}
	for i := range q.Marks {
		q.Marks[i].filter(s)
	}
	if q.Severities != nil {
		any := "false"
		for _, severity := range q.Severities {
			any += " OR " + severityRanges[severity]
		}
		s.where(any)
	}
	if q.MinRisk != nil {
		s.where("cs.churn_risk >= ?::real", *q.MinRisk)
	}
	if q.MaxRisk != nil {
		s.where("cs.churn_risk <= ?::real", *q.MaxRisk)
	}
}

// NeedsState tells whether the list needs to know where customers stand, or what is expected of them.
func (q *CustomerQuery) NeedsState() bool {
	return q.filtersState() || strings.HasPrefix(customerSorts[q.Sort].key, "cs.")
}

func (q *CustomerQuery) filtersState() bool {
	return q.Segments != nil || len(q.Marks) > 0 || q.Severities != nil || q.MinRisk != nil || q.MaxRisk != nil
}

// place adds the condition that a row lies beyond a cursor.
func (q *CustomerQuery) place(s *statement, cursor *CustomerCursor, after bool) {
	if cursor == nil {
		return
	}
	tie := "(c.customer_key, c.store_id) " + beyond(after, q.Descending) + " (" + s.arg(cursor.Key) + ", " + s.arg(cursor.StoreID) + "::int)"
	sort, sorted := customerSorts[q.Sort]
	switch {
	case !sorted:
		s.where(tie)
	case cursor.Value == nil && after:
		s.where(sort.key + " IS NULL AND " + tie)
	case cursor.Value == nil:
		s.where(sort.key + " IS NOT NULL OR " + tie)
	default:
		value := s.arg(*cursor.Value) + "::text::" + sort.kind
		condition := sort.key + " " + beyond(after, q.Descending) + " " + value + " OR " + sort.key + " = " + value + " AND " + tie
		if after && sort.nullable {
			condition += " OR " + sort.key + " IS NULL"
		}
		s.where(condition)
	}
}

// from gives what customers, and where they stand, are read from.
func (q *CustomerQuery) from(s *statement) (customers, computed, states string) {
	if q.AsOf == nil {
		return "customer", "false", stateOfCustomer
	}
	return pastCustomers(s.arg(dateParam(*q.AsOf))), "c.computed", snapshotOfPast
}

const stateOfCustomer = ` LEFT JOIN customer_state cs ON cs.store_id = c.store_id AND cs.customer_id = c.customer_id`

// Customers gives a page.
func (db *DB) Customers(ctx context.Context, q CustomerQuery) ([]*ListedCustomer, error) {
	var s statement
	var stores string
	if len(q.StoreIDs) == 1 {
		stores = s.arg(q.StoreIDs[0])
	} else {
		stores = "ANY (" + s.arg(q.StoreIDs) + ")"
	}
	customers, computed, states := q.from(&s)
	if q.filter(&s); !q.NeedsState() {
		states = ""
	}
	q.place(&s, q.After, true)
	q.place(&s, q.Before, false)
	value, order, outer := "NULL::text", "", ""
	if sort, sorted := customerSorts[q.Sort]; sorted {
		value = sort.key + "::text"
		if sort.nullable {
			order = sort.key + " IS NULL " + q.direction(false) + ", "
			outer = "c.sort IS NULL " + q.direction(false) + ", "
		}
		order += sort.key + " " + q.direction(q.Descending) + ", "
		outer += "c.sort " + q.direction(q.Descending) + ", "
	}
	sortColumn := "NULL::int"
	if sort, sorted := customerSorts[q.Sort]; sorted {
		sortColumn = sort.key
	}
	direction := q.direction(q.Descending)
	// The number stands in the statement, and one store is named as one: else the server plans anew each time, since a plan for
	// any number and any stores looks dearer to it.
	limit := strconv.Itoa(q.Limit)
	sql := `-- name: Customers
SELECT ` + customerFields + `, c.computed, c.sort_text FROM store t CROSS JOIN LATERAL (
  SELECT ` + customerFields + `, ` + computed + ` AS computed, ` + sortColumn + ` AS sort, ` + value + ` AS sort_text FROM ` + customers + ` c` + states + `
  WHERE c.store_id = t.store_id` + s.and() + `
  ORDER BY ` + order + `c.customer_key ` + direction + ` LIMIT ` + limit + `) c
WHERE t.store_id = ` + stores + `
ORDER BY ` + outer + `c.customer_key ` + direction + `, c.store_id ` + direction + ` LIMIT ` + limit
	rows, err := collect(ctx, db.read(ctx), scanListedCustomer, sql, s.args...)
	return inOrder(q.Window, rows), err
}

// CountCustomers counts the whole list.
func (db *DB) CountCustomers(ctx context.Context, q CustomerQuery) (int, error) {
	var s statement
	stores := s.arg(q.StoreIDs)
	customers, _, states := q.from(&s)
	if q.filter(&s); !q.filtersState() {
		states = ""
	}
	var count int
	err := db.read(ctx).QueryRow(ctx, `-- name: CountCustomers
SELECT count(*) FROM store t JOIN LATERAL (SELECT * FROM `+customers+` c) c ON c.store_id = t.store_id`+states+`
WHERE t.store_id = ANY (`+stores+`)`+s.and(), s.args...).Scan(&count)
	return count, err
}

const customersByID = `-- name: CustomersByID
SELECT ` + customerFields + ` FROM unnest($1::int[], $2::bigint[]) k(store_id, customer_id)
JOIN customer c ON c.store_id = k.store_id AND c.customer_id = k.customer_id`

// CustomersByID gives customers; those that are not there are missing.
func (db *DB) CustomersByID(ctx context.Context, refs []CustomerRef) (map[CustomerRef]*engine.Customer, error) {
	stores, ids := splitRefs(refs)
	found, err := collect(ctx, db.read(ctx), scanCustomer, customersByID, stores, ids)
	customers := make(map[CustomerRef]*engine.Customer, len(found))
	for _, c := range found {
		customers[CustomerRef{c.StoreID, c.ID}] = c
	}
	return customers, err
}

const customersByKey = `-- name: CustomersByKey
SELECT ` + customerFields + ` FROM unnest($1::int[], $2::text[]) k(store_id, customer_key)
JOIN customer c ON c.store_id = k.store_id AND c.customer_key = k.customer_key`

// CustomersByKey gives customers by the names that their stores use; those that are not there are missing.
func (db *DB) CustomersByKey(ctx context.Context, keys []CustomerKey) (map[CustomerKey]*engine.Customer, error) {
	stores, names := make([]int32, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		stores[i], names[i] = k.StoreID, k.Key
	}
	found, err := collect(ctx, db.read(ctx), scanCustomer, customersByKey, stores, names)
	customers := make(map[CustomerKey]*engine.Customer, len(found))
	for _, c := range found {
		customers[CustomerKey{c.StoreID, c.Key}] = c
	}
	return customers, err
}

const customerKeys = `-- name: CustomerKeys
SELECT customer_id, customer_key FROM customer WHERE store_id = $1`

// CustomerKeys gives the names that a store uses for all its customers, by number.
func (db *DB) CustomerKeys(ctx context.Context, storeID int32) (map[int64]string, error) {
	keys := map[int64]string{}
	rows, err := db.read(ctx).Query(ctx, customerKeys, storeID)
	if err != nil {
		return nil, err
	}
	var id int64
	var key string
	_, err = pgx.ForEachRow(rows, []any{&id, &key}, func() error {
		keys[id] = key
		return nil
	})
	return keys, err
}

func splitRefs(refs []CustomerRef) (stores []int32, customers []int64) {
	for _, r := range refs {
		stores, customers = append(stores, r.StoreID), append(customers, r.CustomerID)
	}
	return stores, customers
}

// CustomerState is where a customer stands now.
type CustomerState struct {
	CustomerRef
	ModelVersion int
	Date         engine.Date
	engine.Thumbprint
	Features  []float32 // nil where they were not asked for or not stored
	ChurnRisk *float64  // nil where it is not stored
	UpdatedAt time.Time
}

const customerStates = `-- name: CustomerStates
SELECT cs.store_id, cs.customer_id, cs.model_id, cs.state_date, cs.membership, cs.dominant, CASE WHEN $3 THEN cs.feature END, cs.churn_risk, cs.updated_at
FROM unnest($1::int[], $2::bigint[]) k(store_id, customer_id)
JOIN customer_state cs ON cs.store_id = k.store_id AND cs.customer_id = k.customer_id`

// CustomerStates gives where customers stand now, with their features where asked for; those without a place are missing.
func (db *DB) CustomerStates(ctx context.Context, refs []CustomerRef, features bool) (map[CustomerRef]*CustomerState, error) {
	stores, ids := splitRefs(refs)
	found, err := collect(ctx, db.read(ctx), func(row pgx.CollectableRow) (*CustomerState, error) {
		var s CustomerState
		var date time.Time
		var stored []*float32
		err := row.Scan(&s.StoreID, &s.CustomerID, &s.ModelVersion, &date, membershipOf(&s.Thumbprint), dominantOf(&s.Thumbprint), &stored, &s.ChurnRisk, &s.UpdatedAt)
		s.Date, s.Features = dateOf(date), featuresOf(stored)
		return &s, err
	}, customerStates, stores, ids, features)
	states := make(map[CustomerRef]*CustomerState, len(found))
	for _, s := range found {
		states[s.CustomerRef] = s
	}
	return states, err
}

// MemberQuery is a page of a segment's members, strongest membership first.
type MemberQuery struct {
	SegmentMatch
	MinUnits     int // membership in units of 1/10000
	DominantOnly bool
	After        *MemberCursor
	Before       *MemberCursor
	Window
}

// MemberCursor is a place in a list of members.
type MemberCursor struct {
	Units int
	Key   string
}

// Member is a customer with its membership in units of 1/10000.
type Member struct {
	engine.Customer
	Units int
}

// unitsIn adds up the memberships in a segment, given by the positions of its leaves, in units of 1/10000.
func unitsIn(membership, positions string) string {
	return "(SELECT coalesce(sum(greatest(membership_at(" + membership + ", p), 0)), 0)::int FROM unnest(" + positions + ") p)"
}

func (q *MemberQuery) members(s *statement) string {
	positions := s.arg(q.Positions)
	dominant := ""
	if q.DominantOnly {
		dominant = " AND dominant_at(cs.dominant, " + s.arg(q.Axis) + ") = ANY (" + positions + ")"
	}
	return `(SELECT ` + customerFields + `, u.units FROM customer_state cs
  JOIN customer c ON c.store_id = cs.store_id AND c.customer_id = cs.customer_id
  CROSS JOIN LATERAL (SELECT ` + unitsIn("cs.membership", positions+"::smallint[]") + ` AS units OFFSET 0) u
  WHERE cs.store_id = ` + s.arg(q.StoreID) + ` AND cs.model_id = ` + s.arg(q.Model) + ` AND u.units >= ` + s.arg(max(1, q.MinUnits)) + dominant + `) c`
}

// Members gives a page.
func (db *DB) Members(ctx context.Context, q MemberQuery) ([]*Member, error) {
	var s statement
	from := q.members(&s)
	for _, c := range []struct {
		cursor *MemberCursor
		after  bool
	}{{q.After, true}, {q.Before, false}} {
		if c.cursor != nil {
			s.where("(-c.units, c.customer_key) "+beyond(c.after, false)+" (?::int, ?)", -c.cursor.Units, c.cursor.Key)
		}
	}
	direction := q.direction(false)
	rows, err := collect(ctx, db.read(ctx), func(row pgx.CollectableRow) (*Member, error) {
		var m Member
		var first, last *time.Time
		err := row.Scan(append(customerTargets(&m.Customer, &first, &last), &m.Units)...)
		m.FirstOrderAt, m.LastOrderAt = timeOf(first), timeOf(last)
		return &m, err
	}, `-- name: Members
SELECT * FROM `+from+` WHERE true`+s.and()+`
ORDER BY -c.units `+direction+`, c.customer_key `+direction+` LIMIT `+s.arg(q.Limit), s.args...)
	return inOrder(q.Window, rows), err
}

// CountMembers counts the whole list.
func (db *DB) CountMembers(ctx context.Context, q MemberQuery) (int, error) {
	var s statement
	var count int
	sql := "-- name: CountMembers\nSELECT count(*) FROM " + q.members(&s)
	err := db.read(ctx).QueryRow(ctx, sql, s.args...).Scan(&count)
	return count, err
}

// MarkCount is how many customers have a mark on an axis.
type MarkCount struct {
	Axis, Mark, Customers int
}

const markCounts = `-- name: MarkCounts
SELECT axis, get_byte(mark, axis), count(*) FROM customer_state CROSS JOIN generate_series(0, $3) axis
WHERE store_id = $1 AND model_id = $2 AND mark IS NOT NULL GROUP BY 1, 2`

// MarkCounts counts the marks of a store's customers under a model, on every axis.
func (db *DB) MarkCounts(ctx context.Context, storeID int32, model int) ([]MarkCount, error) {
	return collect(ctx, db.read(ctx), pgx.RowToStructByPos[MarkCount], markCounts, storeID, model, engine.AxisCount-1)
}
