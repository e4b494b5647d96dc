package auth_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clock is a clock that is set by hand.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(c.at.Load(), 0) }

// give makes a token.
func give(t *testing.T, db *postgres.DB, store int32, role auth.Role, expires time.Time) (token, id string) {
	t.Helper()
	token, hash := auth.NewToken()
	kept := &postgres.Token{ID: uuid.NewString(), StoreID: store, Name: "of a test", Role: role.String(), Hash: hash, ExpiresAt: expires}
	check(t, db.InsertToken(t.Context(), kept))
	return token, kept.ID
}

func TestTokens(t *testing.T) {
	t.Parallel()
	db := postgres.New(pgtest.DB(t))
	shop, err := db.EnsureStore(t.Context(), "shop")
	check(t, err)
	var c clock
	c.at.Store(1000)
	access := auth.New(db, nil, c.now)

	// While nothing is set up, this machine may do everything, and others nothing.
	here, err := access.Identify(t.Context(), "", true)
	if err != nil || !here.AllStores() || !here.May(auth.Admin) {
		t.Fatalf("a local caller is %+v, %v", here, err)
	}
	if far, err := access.Identify(t.Context(), "", false); err != nil || !far.IsNobody() || far.AllStores() || far.Sees(shop.ID) || far.May(auth.Reader) {
		t.Errorf("a caller from elsewhere is %+v, %v", far, err)
	}
	if usable, err := access.Usable(t.Context()); err != nil || usable {
		t.Errorf("usable without a token: %v, %v", usable, err)
	}

	// A token works as soon as it is made, though the list was read just before.
	reader, id := give(t, db, shop.ID, auth.Reader, c.now().Add(time.Minute))
	who, err := access.Identify(t.Context(), reader, false)
	if err != nil || who.AllStores() || !who.Sees(shop.ID) || who.Sees(shop.ID+1) || who.Sees(0) || !who.May(auth.Reader) || who.May(auth.Operator) {
		t.Fatalf("the reader is %+v, %v", who, err)
	}
	if open, err := access.Open(t.Context()); err != nil || open {
		t.Errorf("open beside a token: %v, %v", open, err)
	}
	if here, err := access.Identify(t.Context(), "", true); err != nil || !here.IsNobody() {
		t.Errorf("a local caller without a token is %+v, %v", here, err)
	}
	for name, token := range map[string]string{"unknown": reader[:len(reader)-1] + "~", "only the prefix": "quimbi_", "somebody else's": "eyJhbGciOiJub25lIn0.e30."} {
		if _, err := access.Identify(t.Context(), token, true); engine.CodeOf(err) != engine.CodeUnauthenticated {
			t.Errorf("a token that is %s: %v", name, err)
		}
	}

	// Expired it is refused, and nothing opens again; time alone must not.
	c.at.Add(60)
	if _, err := access.Identify(t.Context(), reader, true); engine.CodeOf(err) != engine.CodeUnauthenticated {
		t.Errorf("an expired token: %v", err)
	}
	if open, err := access.Open(t.Context()); err != nil || open {
		t.Errorf("open beside an expired token: %v, %v", open, err)
	}
	if usable, err := access.Usable(t.Context()); err != nil || usable {
		t.Errorf("usable by an expired token: %v, %v", usable, err)
	}

	// Revoked it is refused by whoever looks after the list is a second old: here, one that has no list yet.
	admin, adminID := give(t, db, 0, auth.Admin, time.Time{})
	if who, err := access.Identify(t.Context(), admin, false); err != nil || !who.AllStores() || !who.Sees(0) || !who.May(auth.Admin) {
		t.Errorf("the admin is %+v, %v", who, err)
	}
	check(t, db.RevokeToken(t.Context(), adminID))
	check(t, db.RevokeToken(t.Context(), id))
	later := auth.New(db, nil, c.now)
	if _, err := later.Identify(t.Context(), admin, true); engine.CodeOf(err) != engine.CodeUnauthenticated {
		t.Errorf("a revoked token: %v", err)
	}
	if open, err := later.Open(t.Context()); err != nil || !open {
		t.Errorf("closed without a token that stands: %v, %v", open, err)
	}
	if err := db.RevokeToken(t.Context(), uuid.NewString()); engine.CodeOf(err) != engine.CodeNotFound {
		t.Errorf("revoking a token that is not there: %v", err)
	}
}

// Only the hash of a token is in the database.
func TestTokensAreNotKept(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	token, _ := give(t, postgres.New(pool), 0, auth.Reader, time.Time{})
	if !strings.HasPrefix(token, "quimbi_") || len(token) != len("quimbi_")+43 {
		t.Errorf("a token looks like %q", token)
	}
	var row string
	check(t, pool.QueryRow(t.Context(), "SELECT t::text FROM access_token t").Scan(&row))
	if strings.Contains(row, token) || strings.Contains(row, token[len("quimbi_"):]) {
		t.Errorf("the table holds the token: %s", row)
	}
	other, _ := auth.NewToken()
	if other == token {
		t.Error("two tokens are the same")
	}
}

// A flood of wrong tokens costs the database next to nothing, and those with good ones are not kept waiting by it.
func TestWrongTokensAreCheap(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	good, _ := give(t, db, 0, auth.Reader, time.Time{})
	access := auth.New(db, nil, time.Now)
	_, err := access.Identify(t.Context(), good, false)
	check(t, err)
	counter := pgtest.Queries(t, pool)
	begin := time.Now()
	var group sync.WaitGroup
	for range 500 {
		group.Go(func() {
			wrong, _ := auth.NewToken()
			if _, err := access.Identify(t.Context(), wrong, false); engine.CodeOf(err) != engine.CodeUnauthenticated {
				t.Errorf("a wrong token: %v", err)
			}
			if _, err := access.Identify(t.Context(), good, false); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	looks := int(time.Since(begin)/(100*time.Millisecond)) + 3
	if reads := len(counter.Reads()); reads > looks {
		t.Errorf("500 wrong tokens took %d statements in %s", reads, time.Since(begin))
	}
}
