package jobs

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/currency"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// SettingsRequest asks for changes of what can be set for a store; nil stays.
type SettingsRequest struct {
	Store *engine.Store
	postgres.StoreSettings
	TimeZone *string // an IANA name
}

const (
	maxName     = 100
	maxStatuses = 50
	maxStatus   = 64
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
		if q.TimeZone != nil && *q.TimeZone != q.Store.Zone.String() {
			if _, err := tx.LockOrders(ctx, q.Store); err != nil {
				return err
			}
			if err := tx.SetZone(ctx, q.Store.ID, *q.TimeZone); err != nil {
				return err
			}
		}
		return tx.UpdateStore(ctx, q.Store.ID, q.StoreSettings)
	})
	if err != nil {
		return nil, err
	}
	return r.db.StoreByKey(ctx, q.Store.Key)
}

func invalidAt(field, format string, args ...any) error {
	return engine.Errorf(engine.CodeInvalid, format, args...).At("input", field)
}

// Check holds what is asked for to its rules, and gives it the form in which it is kept. Fault: INVALID.
func (q *SettingsRequest) Check() error {
	if q.Name != nil && (strings.TrimSpace(*q.Name) == "" || !plainText(*q.Name, maxName)) {
		return invalidAt("name", "a store's name has 1 to %d characters and stands on one line", maxName)
	}
	if q.Currency != nil {
		unit, err := currency.ParseISO(*q.Currency)
		if err != nil || len(*q.Currency) != 3 {
			return invalidAt("currency", "%q is no currency of ISO 4217; write its three letters, for example EUR", short(*q.Currency))
		}
		code := unit.String()
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
