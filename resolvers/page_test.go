package resolvers

import (
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

func FuzzReadCursor(f *testing.F) {
	f.Add(writeCursor("customers CUSTOMER_ID ASC", postgres.CustomerCursor{Key: "a", StoreID: 1}))
	f.Add(writeCursor("customers TOTAL_VALUE ASC", postgres.CustomerCursor{Key: "a", StoreID: 1}))
	f.Add("")
	f.Add("e30")
	f.Fuzz(func(t *testing.T, text string) {
		const kind = "customers CUSTOMER_ID ASC"
		key, err := readCursor[postgres.CustomerCursor](kind, &text)
		switch {
		case err == nil && writeCursor(kind, *key) != text:
			t.Fatalf("%q was read as %+v", text, key)
		case err != nil && engine.CodeOf(err) != engine.CodeInvalid:
			t.Fatalf("%q gave %v", text, err)
		}
	})
}

func TestACursorFitsOneOrderOnly(t *testing.T) {
	t.Parallel()
	text := writeCursor("customers TOTAL_VALUE ASC", postgres.CustomerCursor{Key: "a"})
	if _, err := readCursor[postgres.CustomerCursor]("customers TOTAL_VALUE DESC", &text); engine.CodeOf(err) != engine.CodeInvalid {
		t.Errorf("a cursor of another order gives %v", err)
	}
}
