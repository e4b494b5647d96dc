package model

import "github.com/quimbi/quimbi/engine"

// Customer is a customer of one store.
type Customer struct {
	*engine.Customer
	Store *Store
	// AsOf is the day that everything about the customer is told for; nil: now. Computed is whether it was worked out from
	// orders, there being no snapshot of the day.
	AsOf     *engine.Date
	Computed bool
	// Page are the customers that were read with this one, itself too; what is read of one of them is read of all.
	Page *[]*Customer
}

// AsPage tells customers of one list about each other.
func AsPage(customers []*Customer) {
	for _, c := range customers {
		c.Page = &customers
	}
}

// IsNode marks an object with a global identifier.
func (*Customer) IsNode() {}

// ID is the global identifier.
func (c *Customer) ID() string {
	return ID{Kind: KindCustomer, Store: c.Customer.StoreID, Customer: c.Customer.ID}.String()
}

// CustomerID is the identifier that the store uses.
func (c *Customer) CustomerID() string { return c.Key }

// StoreID is the store's key.
func (c *Customer) StoreID() string { return c.Store.Key }

// OrderCount is how many purchases.
func (c *Customer) OrderCount() int { return c.Orders }

// TotalValue is in minor units.
func (c *Customer) TotalValue() int64 { return c.ValueCents }

// Snapshot is a customer's thumbprint on one date.
type Snapshot struct {
	*engine.Snapshot
	Customer *Customer
}

// IsNode marks an object with a global identifier.
func (*Snapshot) IsNode() {}

// ID is the global identifier.
func (s *Snapshot) ID() string {
	return ID{Kind: KindSnapshot, Store: s.Snapshot.StoreID, Customer: s.CustomerID, Type: s.Type, Date: s.Date}.String()
}

// StoreID is the store's key.
func (s *Snapshot) StoreID() string { return s.Customer.Store.Key }

// OrdersAtSnapshot is the number of purchases so far.
func (s *Snapshot) OrdersAtSnapshot() int { return s.Purchases }

// TotalValueAtSnapshot is in minor units.
func (s *Snapshot) TotalValueAtSnapshot() int64 { return s.ValueCents }

// DaysSinceFirstOrder is the number of days since the first purchase.
func (s *Snapshot) DaysSinceFirstOrder() *int {
	days := s.DaysSinceFirst()
	if days < 0 {
		return nil
	}
	return &days
}

// TenureMonths is the time since the first purchase.
func (s *Snapshot) TenureMonths() *float64 {
	if s.DaysSinceFirst() < 0 {
		return nil
	}
	months := s.Snapshot.TenureMonths()
	return &months
}

// ChurnRiskScore is the probability of no order within the model's horizon.
func (s *Snapshot) ChurnRiskScore() *float64 { return s.ChurnRisk }

// PredictedLtv is in minor units.
func (s *Snapshot) PredictedLtv() *int64 { return s.LTVCents }

// dataVersion is the version of the stored form.
const dataVersion = "v1.0"

// DataVersion is the version of the stored form.
func (s *Snapshot) DataVersion() string { return dataVersion }
