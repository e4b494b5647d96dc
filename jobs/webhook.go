package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// ShopEvent is a message of a shop whose origin was checked.
type ShopEvent struct {
	StoreKey string
	Topic    string
	Delivery string // the shop's name for this message, the same whenever it is sent again
	Body     []byte
}

// EventOutcome is what became of a ShopEvent.
type EventOutcome string

// What can become of it.
const (
	EventAccepted EventOutcome = "ACCEPTED"
	EventRepeated EventOutcome = "REPEATED" // it came before
	EventIgnored  EventOutcome = "IGNORED"  // its topic is not about orders
)

// ReceiveShopify keeps an event of Shopify and has it taken in soon. Faults: INVALID, NOT_FOUND.
func (q *Queue) ReceiveShopify(ctx context.Context, e ShopEvent) (EventOutcome, error) {
	if !slices.Contains(ingest.ShopifyTopics, e.Topic) {
		return EventIgnored, nil
	}
	if e.Delivery == "" || len(e.Delivery) > maxKeyLength || !utf8.ValidString(e.Delivery) {
		return "", engine.Errorf(engine.CodeInvalid, "the message needs a name of 1 to %d bytes, by which a repetition is known", maxKeyLength)
	}
	event, err := ingest.ParseShopifyEvent(e.Topic, e.Body)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(event)
	if err != nil {
		return "", err
	}
	store, err := q.db.StoreByKey(ctx, e.StoreKey)
	if err != nil {
		return "", err
	}
	outcome := EventRepeated
	err = q.db.InTx(ctx, func(tx *postgres.Tx) error {
		fresh, err := tx.InsertShopEvent(ctx, store.ID, e.Delivery, named(event), body)
		if err != nil || !fresh {
			return err
		}
		outcome = EventAccepted
		_, err = q.rescoreSoon(ctx, tx, store, engine.TriggerWebhook)
		return err
	})
	return outcome, err
}

// named is the customer whom a shop's message names, as it would be stored; empty where it names nobody.
func named(o *ingest.ShopOrder) string {
	if o.State == nil || strings.ContainsRune(o.State.Order.Customer, 0) {
		return ""
	}
	return ingest.CustomerName(o.State.Order.Customer)
}

// eventBatch is how many events are taken in at once.
const eventBatch = 200

// takeEvents merges the oldest events that wait. It gives how many there were and what they did to the orders.
func (r *Runner) takeEvents(ctx context.Context, storeKey string) (events int, report ImportReport, err error) {
	store, err := r.db.StoreByKey(ctx, storeKey)
	if err != nil {
		return 0, report, err
	}
	err = r.db.InTx(ctx, func(tx *postgres.Tx) error {
		store, err := tx.LockOrders(ctx, store)
		if err != nil {
			return err
		}
		bodies, err := tx.TakeShopEvents(ctx, store.ID, eventBatch)
		if events = len(bodies); err != nil || events == 0 {
			return err
		}
		known, err := shopOrders(ctx, tx, store.ID, bodies)
		if err != nil {
			return err
		}
		var orders []Order
		var kept []postgres.ShopOrder
		for _, number := range slices.Sorted(maps.Keys(known)) {
			o := known[number]
			body, err := json.Marshal(o)
			if err != nil {
				return err
			}
			if current := o.Current(); current != nil {
				orders = append(orders, *current)
			}
			kept = append(kept, postgres.ShopOrder{Number: number, Customer: named(o), Body: body})
		}
		readings, currency := r.read(ctx, store, orders)
		counts, err := r.mergeReadings(ctx, tx, store, readings)
		if err == nil {
			err = takeCurrency(ctx, tx, store, currency)
		}
		if err != nil {
			return err
		}
		report = readings.report(counts)
		return tx.WriteShopOrders(ctx, store.ID, kept)
	})
	if err != nil {
		return 0, ImportReport{}, fmt.Errorf("taking in events of store %q: %w", storeKey, err)
	}
	return events, report, nil
}

// shopOrders gives the orders that events are about, by the shop's number, with what was known of them before.
func shopOrders(ctx context.Context, tx *postgres.Tx, storeID int32, events [][]byte) (map[int64]*ingest.ShopOrder, error) {
	orders := map[int64]*ingest.ShopOrder{}
	merge := func(body []byte) error {
		var o ingest.ShopOrder
		if err := json.Unmarshal(body, &o); err != nil {
			return err
		}
		if orders[o.Number] == nil {
			orders[o.Number] = &ingest.ShopOrder{}
		}
		orders[o.Number].Merge(&o)
		return nil
	}
	for _, body := range events {
		if err := merge(body); err != nil {
			return nil, err
		}
	}
	stored, err := tx.ShopOrders(ctx, storeID, slices.SortedFunc(maps.Keys(orders), cmp.Compare))
	if err != nil {
		return nil, err
	}
	for _, body := range stored {
		if err := merge(body); err != nil {
			return nil, err
		}
	}
	return orders, nil
}
