package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/explain"
	"github.com/quimbi/quimbi/engine/watch"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// CustomerDocument is everything that is stored about one customer. The same rows give the same bytes.
type CustomerDocument struct {
	Store        string               `json:"store"`
	CustomerID   string               `json:"customer_id"`
	TimeZone     string               `json:"time_zone"`
	Currency     string               `json:"currency,omitempty"`
	FirstOrderAt time.Time            `json:"first_order_at,omitzero"`
	LastOrderAt  time.Time            `json:"last_order_at,omitzero"`
	OrderCount   int                  `json:"order_count"`
	TotalValue   Amount               `json:"total_value"`
	Orders       []OrderDocument      `json:"orders"`
	Standing     *StandingDocument    `json:"standing"` // now; null where the customer has no place
	Snapshots    []SnapshotDocument   `json:"snapshots"`
	DriftEvents  []EventDocument      `json:"drift_events"`
	Transitions  []TransitionDocument `json:"transitions,omitempty"`
	Drifts       []DriftDocument      `json:"overall_drifts,omitempty"` // between snapshots with an order in between, longer than these are kept
	Alarms       []AlarmDocument      `json:"alarms,omitempty"`
	ShopOrders   []json.RawMessage    `json:"shop_orders,omitempty"` // as the shop's own messages told of them
}

// Amount is an amount of money in minor units; it is written as a decimal number in a string.
type Amount int64

// MarshalText writes all digits.
func (a Amount) MarshalText() ([]byte, error) {
	sign, cents := "", uint64(a)
	if a < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Appendf(nil, "%s%d.%02d", sign, cents/100, cents%100), nil
}

type (
	// OrderDocument is an order with its lines.
	OrderDocument struct {
		OrderID string         `json:"order_id,omitempty"` // none where the source has none
		Lines   []LineDocument `json:"lines"`
	}
	// LineDocument is a line of an order.
	LineDocument struct {
		OrderedAt  time.Time `json:"ordered_at"`
		SKU        string    `json:"sku,omitempty"`
		Category   string    `json:"category,omitempty"`
		Quantity   int32     `json:"quantity"`
		Net        Amount    `json:"net"`
		Discount   *Amount   `json:"discount,omitempty"`
		Refund     *Amount   `json:"refund,omitempty"`
		RefundedAt time.Time `json:"refunded_at,omitzero"`
		// CancelledAt is from when on the line counts no more.
		CancelledAt time.Time `json:"cancelled_at,omitzero"`
	}
	// StandingDocument is where a customer stands under a model: by axis, the memberships by name of segment and the segment
	// that the customer belongs to, the features that this rests on, and what is expected of the customer.
	StandingDocument struct {
		Date         engine.Date                   `json:"date"`
		At           time.Time                     `json:"at,omitzero"` // unless it is the day's begin
		ModelVersion int                           `json:"model_version"`
		Memberships  map[string]map[string]float64 `json:"fuzzy_memberships"`
		Dominant     map[string]string             `json:"dominant_segments"`
		Features     map[string]float32            `json:"features,omitempty"`
		ChurnRisk    *float64                      `json:"churn_risk,omitempty"`
		PredictedLTV *Amount                       `json:"predicted_ltv,omitempty"`
		Marks        map[string]explain.Mark       `json:"marks,omitempty"` // by axis, where customers are listed by them
	}
	// SnapshotDocument is a snapshot.
	SnapshotDocument struct {
		Type string `json:"type"`
		StandingDocument
		OrderCount int         `json:"order_count"`
		TotalValue Amount      `json:"total_value"`
		FirstOrder engine.Date `json:"first_order"`
		Active     bool        `json:"active"`
		Replayed   bool        `json:"replayed"`
		CreatedAt  time.Time   `json:"created_at"`
	}
	// TransitionDocument is a change of the dominant segment.
	TransitionDocument struct {
		Type         string                `json:"type"`
		Axis         string                `json:"axis"`
		Date         engine.Date           `json:"date"`
		ModelVersion int                   `json:"model_version"`
		FromSegment  string                `json:"from_segment"`
		ToSegment    string                `json:"to_segment"`
		State        watch.TransitionState `json:"state"`
		Score        float64               `json:"score"`
		ByOrder      bool                  `json:"by_order"`
	}
	// DriftDocument is an overall drift, from the snapshot before to that of the date.
	DriftDocument struct {
		Type  string      `json:"type"`
		Date  engine.Date `json:"date"`
		Drift float32     `json:"drift"`
	}
	// AlarmDocument is a sign that the customer's buying changed.
	AlarmDocument struct {
		Date         engine.Date `json:"date"`
		ModelVersion int         `json:"model_version"`
		PValue       float64     `json:"p_value"`
		Text         string      `json:"text"`
	}
	// EventDocument is a drift event.
	EventDocument struct {
		Type         string      `json:"type"`
		Axis         string      `json:"axis"`
		From         engine.Date `json:"from"`
		To           engine.Date `json:"to"`
		ModelVersion int         `json:"model_version"`
		Score        float64     `json:"score"`
		FromSegment  string      `json:"from_segment"`
		ToSegment    string      `json:"to_segment"`
		ByOrder      bool        `json:"by_order"`
		Provisional  bool        `json:"provisional,omitempty"`
		Anomaly      bool        `json:"anomaly"`
		DetectedAt   time.Time   `json:"detected_at"`
	}
)

// Line gives the document as one line of JSON with its line break.
func (d *CustomerDocument) Line() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(d)
	return b.Bytes(), err
}

func newDocument(store *engine.Store, r *postgres.CustomerRecord, models map[int]*engine.Model) *CustomerDocument {
	d := &CustomerDocument{
		Store: store.Key, CustomerID: r.Key, TimeZone: store.Zone.String(), Currency: store.Currency,
		FirstOrderAt: r.FirstOrderAt, LastOrderAt: r.LastOrderAt, OrderCount: r.Orders, TotalValue: Amount(r.ValueCents),
		Orders: orderDocuments(r.Lines), Snapshots: []SnapshotDocument{}, DriftEvents: []EventDocument{},
	}
	if s := r.State; s != nil {
		standing := newStanding(models[r.StateOf], r.StateAt, s.Thumbprint, s.Features)
		standing.At = r.ScoredAt
		standing.ChurnRisk, standing.PredictedLTV = s.ChurnRisk, (*Amount)(s.LTVCents)
		standing.Marks = marksByAxis(s.Mark)
		d.Standing = &standing
	}
	for _, s := range r.Snapshots {
		standing := newStanding(models[s.ModelVersion], s.Date, s.Thumbprint, s.Features)
		standing.ChurnRisk, standing.PredictedLTV = s.ChurnRisk, (*Amount)(s.LTVCents)
		d.Snapshots = append(d.Snapshots, SnapshotDocument{
			Type: s.Type.String(), StandingDocument: standing, OrderCount: s.Purchases, TotalValue: Amount(s.ValueCents), FirstOrder: s.FirstAt,
			Active: s.Active, Replayed: s.Replayed, CreatedAt: s.CreatedAt,
		})
	}
	for _, e := range r.Events {
		segments := models[e.ModelVersion].Axes[e.Axis].Segments
		d.DriftEvents = append(d.DriftEvents, EventDocument{
			Type: e.Type.String(), Axis: engine.Axes[e.Axis].Key, From: e.From, To: e.To, ModelVersion: e.ModelVersion, Score: e.Score,
			FromSegment: segments[e.FromSegment].Name, ToSegment: segments[e.ToSegment].Name, ByOrder: e.ByOrder, Provisional: e.Provisional,
			Anomaly: e.AxisAnomaly || e.OverallAnomaly, DetectedAt: e.DetectedAt.UTC(),
		})
	}
	for _, t := range r.Moves {
		segments := models[t.ModelVersion].Axes[t.Axis].Segments
		d.Transitions = append(d.Transitions, TransitionDocument{
			Type: t.Type.String(), Axis: engine.Axes[t.Axis].Key, Date: t.Date, ModelVersion: t.ModelVersion,
			FromSegment: segments[t.From].Name, ToSegment: segments[t.To].Name, State: t.State, Score: t.Score, ByOrder: t.ByOrder,
		})
	}
	for _, k := range r.Drifts {
		d.Drifts = append(d.Drifts, DriftDocument{k.Type.String(), k.Date, k.Drift})
	}
	for _, a := range r.Alarms {
		d.Alarms = append(d.Alarms, AlarmDocument{a.Date, a.ModelVersion, a.PValue, a.Explanation()})
	}
	for _, body := range r.Shop {
		d.ShopOrders = append(d.ShopOrders, body)
	}
	return d
}

// orderDocuments puts lines together by order, in the order of the first line of each.
func orderDocuments(lines []postgres.ImportLine) []OrderDocument {
	orders, places := []OrderDocument{}, map[string]int{}
	for i := range lines {
		l := &lines[i]
		id := ingest.OrderIDOf(l.OrderKey)
		place, known := places[id]
		if !known || id == "" {
			place = len(orders)
			places[id] = place
			orders = append(orders, OrderDocument{OrderID: id})
		}
		line := LineDocument{OrderedAt: l.OrderedAt, SKU: l.SKU, Category: l.Category, Quantity: l.Quantity, Net: Amount(l.NetCents), RefundedAt: l.RefundedAt, CancelledAt: l.CancelledAt}
		if l.HasDiscount {
			line.Discount = (*Amount)(&l.DiscountCents)
		}
		if l.RefundCents != 0 {
			line.Refund = (*Amount)(&l.RefundCents)
		}
		orders[place].Lines = append(orders[place].Lines, line)
	}
	return orders
}

func marksByAxis(marks []byte) map[string]explain.Mark {
	by := map[string]explain.Mark{}
	for axis, mark := range marks {
		if mark != 0 {
			by[engine.Axes[axis].Key] = explain.Mark(mark)
		}
	}
	return by
}

func newStanding(m *engine.Model, date engine.Date, t engine.Thumbprint, features []float32) StandingDocument {
	s := StandingDocument{Date: date, ModelVersion: m.Version, Memberships: map[string]map[string]float64{}, Dominant: map[string]string{}}
	for a := range m.Axes {
		axis, key := &m.Axes[a], engine.Axes[a].Key
		units := m.LeafMemberships(a, t, nil)
		if len(units) == 0 {
			continue
		}
		s.Memberships[key] = map[string]float64{}
		for i := range axis.Segments {
			segment := &axis.Segments[i]
			if !segment.IsLeaf() {
				continue
			}
			s.Memberships[key][segment.Name] = float64(units[segment.Leaf]) / engine.MembershipUnit
			if int(t.Dominant[a]) == axis.First+segment.Leaf {
				s.Dominant[key] = segment.Name
			}
		}
	}
	if features == nil {
		return s
	}
	s.Features = map[string]float32{}
	for a := range engine.Axes {
		axis := &engine.Axes[a]
		for i := range axis.Features {
			if x := features[axis.First+i]; !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) {
				s.Features[axis.Features[i].Key] = x
			}
		}
	}
	return s
}
