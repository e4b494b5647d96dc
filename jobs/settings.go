package jobs

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// SettingsRequest asks for changes of what can be set for a store; nil stays.
type SettingsRequest struct {
	Store *engine.Store
	postgres.StoreSettings
	TimeZone  *string // an IANA name
	Retention []Retention
}

// Retention says for how many days a store keeps snapshots of a type; nil: as long as the installation.
type Retention struct {
	Type     engine.SnapshotType
	KeepDays *int
}

const (
	maxName     = 100
	maxStatuses = 50
	maxStatus   = 64
	maxKeepDays = 36_500
	maxAlarms   = 1_000_000
	minHorizon  = 7
	maxHorizon  = 730
)

// UpdateStore changes settings, all or none, and gives the store as it is then. New purchase statuses take effect with the
// next import. A new time zone takes effect at once: the orders' instants stay and fall on the days of the new zone, so
// purchases are counted anew, and monthly references are made anew when they are needed. Models, snapshots and where
// customers stand stay as they are until they are made anew. Times that a file states without a zone are read by the new
// one when it is imported again.
func (r *Runner) UpdateStore(ctx context.Context, q SettingsRequest) (*engine.Store, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	err := r.db.InTxAlone(ctx, q.Store, func(tx *postgres.Tx) error {
		zone := q.TimeZone != nil && *q.TimeZone != q.Store.Zone.String()
		if zone || q.Currency != nil && *q.Currency != q.Store.Currency {
			if _, err := tx.LockOrders(ctx, q.Store); err != nil {
				return err
			}
		}
		if zone {
			if err := tx.SetZone(ctx, q.Store.ID, *q.TimeZone); err != nil {
				return err
			}
		}
		if err := tx.SetRetention(ctx, q.Store.ID, q.keep()); err != nil {
			return err
		}
		return tx.UpdateStore(ctx, q.Store.ID, q.StoreSettings)
	})
	if err != nil {
		return nil, err
	}
	return r.db.StoreByKey(ctx, q.Store.Key)
}

// keep gives the days by type, 0 for the installation's.
func (q *SettingsRequest) keep() map[engine.SnapshotType]int {
	keep := make(map[engine.SnapshotType]int, len(q.Retention))
	for _, r := range q.Retention {
		keep[r.Type] = 0
		if r.KeepDays != nil {
			keep[r.Type] = *r.KeepDays
		}
	}
	return keep
}

// Of simulated customers half a per cent is the least share that is known.
const (
	minFalseAlarms = 0.005
	maxFalseAlarms = 0.95
)

func invalidAt(field, format string, args ...any) error {
	return engine.Errorf(engine.CodeInvalid, format, args...).At("input", field)
}

// Check holds what is asked for to its rules, and gives it the form in which it is kept. Fault: INVALID.
func (q *SettingsRequest) Check() error {
	if q.Name != nil && (strings.TrimSpace(*q.Name) == "" || !plainText(*q.Name, maxName)) {
		return invalidAt("name", "a store's name has 1 to %d characters and stands on one line", maxName)
	}
	if q.Currency != nil {
		code, err := Currency(*q.Currency)
		if err != nil {
			return invalidAt("currency", "%s", err)
		}
		q.Currency = &code
	}
	if q.TimeZone != nil {
		if _, err := time.LoadLocation(*q.TimeZone); err != nil || *q.TimeZone == "" || *q.TimeZone == "Local" {
			return invalidAt("timeZone", "%q is no time zone; write its IANA name, for example Europe/Berlin or UTC", short(*q.TimeZone))
		}
	}
	if q.WeekStart != nil && (*q.WeekStart < time.Sunday || *q.WeekStart > time.Saturday) {
		return invalidAt("weekStart", "a week starts on one of its seven days")
	}
	if r := q.FalseAlarmRate; r != nil && !(*r >= minFalseAlarms && *r <= maxFalseAlarms) {
		return invalidAt("falseAlarmRate", "the share of unchanged customers that may be reported in a year is from %g to %g, not %g", minFalseAlarms, maxFalseAlarms, *r)
	}
	if n := q.AlarmsPerWeek; n != nil && (*n < 0 || *n > maxAlarms) {
		return invalidAt("alarmsPerWeek", "alarms a week are from 0 to %d, not %d", maxAlarms, *n)
	}
	if n := q.HorizonDays; n != nil && (*n < minHorizon || *n > maxHorizon) {
		return invalidAt("churnHorizonDays", "the days without an order that count as lost are from %d to %d, not %d", minHorizon, maxHorizon, *n)
	}
	if m := q.Margin; m != nil && !(*m > 0 && *m <= 1) {
		return invalidAt("margin", "the share of revenue that counts in lifetime value is over 0 and at most 1, not %g", *m)
	}
	if d := q.Discount; d != nil && !(*d >= 0 && *d < 1) {
		return invalidAt("monthlyDiscount", "the discount of future value a month is from 0 to under 1, not %g", *d)
	}
	for i, r := range q.Retention {
		if r.KeepDays != nil && (*r.KeepDays < 1 || *r.KeepDays > maxKeepDays) {
			return invalidAt("retention", "%s snapshots are kept for 1 to %d days, not %d", r.Type, maxKeepDays, *r.KeepDays)
		}
		if slices.ContainsFunc(q.Retention[:i], func(other Retention) bool { return other.Type == r.Type }) {
			return invalidAt("retention", "say once how long %s snapshots are kept", r.Type)
		}
	}
	if q.PurchaseStatuses == nil {
		return nil
	}
	if len(*q.PurchaseStatuses) > maxStatuses {
		return invalidAt("purchaseStatuses", "name at most %d statuses, not %d", maxStatuses, len(*q.PurchaseStatuses))
	}
	for _, status := range *q.PurchaseStatuses {
		if strings.TrimSpace(status) == "" || !plainText(status, maxStatus) {
			return invalidAt("purchaseStatuses", "a status has 1 to %d characters, for example paid", maxStatus)
		}
	}
	statuses := ingest.Statuses(*q.PurchaseStatuses)
	q.PurchaseStatuses = &statuses
	return nil
}

// plainText tells whether a text of at most so many characters can be stored and shown on one line.
func plainText(s string, most int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most && !strings.ContainsFunc(s, unicode.IsControl)
}

// short keeps a text that a caller sent short enough to be shown in a message.
func short(s string) string {
	const most = 40
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
