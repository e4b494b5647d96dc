package jobs

import (
	"context"
	"strings"

	"golang.org/x/text/currency"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

// A store's amounts are added up, so they are in one currency: the one that was set, or that of its first orders. A store that has
// orders and no currency takes one from a file alone, which is in one as a whole: single orders may be in any that its shop sells in.

// Currency gives a code of ISO 4217 in the form in which it is kept. Fault: INVALID.
func Currency(code string) (string, error) {
	unit, err := currency.ParseISO(code)
	if err != nil || len(code) != 3 {
		return "", engine.Errorf(engine.CodeInvalid, "%q is no currency of ISO 4217; write its three letters, for example EUR", short(code))
	}
	return unit.String(), nil
}

// currencyOf is what orders of the store are held to: its currency, where it has none what the caller says, empty where nobody
// does. Fault: CONFLICT where both say something, and not the same.
func currencyOf(store *engine.Store, said string) (string, error) {
	switch {
	case store.Currency == "", said == store.Currency:
		return said, nil
	case said == "":
		return store.Currency, nil
	}
	return "", engine.Errorf(engine.CodeConflict, "store %q has its amounts in %s, not in %s; if that is wrong, change it first: quimbi store set --currency %s",
		store.Key, store.Currency, said, said)
}

// warnOfCurrency tells, once in this process, of orders that are added up with others of a currency that nobody knows.
func (r *Runner) warnOfCurrency(ctx context.Context, store *engine.Store, code string) {
	if _, told := r.uncertain.LoadOrStore(store.ID, true); !told {
		r.log.WarnContext(ctx, "orders state a currency and their store has none; set the one that counts: quimbi store set --currency", "store", store.Key, "currency", code)
	}
}

// takeCurrency gives a store without a currency that of its orders; one that is not in use anywhere is none.
func takeCurrency(ctx context.Context, tx *postgres.Tx, store *engine.Store, code string) error {
	code, err := Currency(strings.TrimSpace(code))
	if err != nil || store.Currency != "" {
		return nil // they say no currency, or none that there is
	}
	return tx.UpdateStore(ctx, store.ID, postgres.StoreSettings{Currency: &code})
}
