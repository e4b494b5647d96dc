package auth

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

const (
	// freshness is how old the list of tokens may be: a token that was revoked is refused so much later at most.
	freshness = time.Second
	// missPause is the least time between looks into the database on account of tokens that are not in the list.
	missPause = 100 * time.Millisecond
	// loadTime bounds a look into the database.
	loadTime = 5 * time.Second
)

// Access knows who may use the API. Make it with New.
type Access struct {
	db       *postgres.DB
	provider *Provider // nil: none
	now      func() time.Time

	list     atomic.Pointer[list]
	turn     chan struct{} // held by whoever loads the list
	missTurn chan struct{} // held by whoever does so on account of a token that is not in it
	misses   *rate.Limiter
}

// list is what the database knew at a moment. Tokens are few, so all are kept: a flood of wrong ones costs no statement each.
type list struct {
	at         time.Time // begin of loading, by the clock that only goes forward
	tokens     map[[32]byte]*postgres.Token
	configured bool             // whether there is a token that was not revoked
	stores     map[string]int32 // by key; only where a provider names stores
}

// New makes an Access. provider may be nil.
func New(db *postgres.DB, provider *Provider, now func() time.Time) *Access {
	return &Access{db: db, provider: provider, now: now, turn: make(chan struct{}, 1), missTurn: make(chan struct{}, 1), misses: rate.NewLimiter(rate.Every(missPause), 1)}
}

// Open tells whether no access is set up: then whoever is on the same machine may do everything. One token that was not
// revoked ends that, even if it has expired: time alone opens nothing. Faults: those of the database.
func (a *Access) Open(ctx context.Context) (bool, error) {
	if a.provider != nil {
		return false, nil
	}
	l, err := a.fresh(ctx, time.Now().Add(-freshness))
	if err != nil {
		return false, err
	}
	return !l.configured, nil
}

// unknownToken says the same whatever is wrong with a token.
var unknownToken = engine.Errorf(engine.CodeUnauthenticated, "the token is not valid: it is unknown, revoked or expired")

// Identify tells who shows a token. Without one it is nobody, unless local is set and no access is set up. Faults:
// UNAUTHENTICATED, FORBIDDEN, UNAVAILABLE and those of the database.
func (a *Access) Identify(ctx context.Context, token string, local bool) (*Identity, error) {
	switch {
	case token == "":
		return a.withoutToken(ctx, local)
	case isOurs(token):
		return a.byToken(ctx, token)
	case a.provider != nil:
		l, err := a.fresh(ctx, time.Now().Add(-freshness))
		if err != nil {
			return nil, err
		}
		return a.provider.identify(ctx, token, l.stores)
	}
	return nil, unknownToken
}

func (a *Access) withoutToken(ctx context.Context, onThisMachine bool) (*Identity, error) {
	if !onThisMachine {
		return nobody, nil
	}
	open, err := a.Open(ctx)
	if err != nil || !open {
		return nobody, err
	}
	return local, nil
}

func (a *Access) byToken(ctx context.Context, token string) (*Identity, error) {
	asked := time.Now()
	hash := hashOf(token)
	l, err := a.fresh(ctx, asked.Add(-freshness))
	if err != nil {
		return nil, err
	}
	t := l.tokens[hash]
	if t == nil { // it may be newer than the list
		if l, err = a.freshAfterMiss(ctx, asked); err != nil {
			return nil, err
		}
		t = l.tokens[hash]
	}
	if t == nil || !t.RevokedAt.IsZero() || !t.ExpiresAt.IsZero() && !a.now().Before(t.ExpiresAt) {
		return nil, unknownToken
	}
	role, err := ParseRole(t.Role)
	if err != nil {
		return nil, err
	}
	i := &Identity{Key: t.ID, Actor: t.Name + " (" + t.ID + ")", Role: role, Expires: t.ExpiresAt, all: t.StoreID == 0}
	if !i.all {
		i.stores = []int32{t.StoreID}
	}
	return i, nil
}

// fresh gives a list that is not older than a moment.
func (a *Access) fresh(ctx context.Context, notBefore time.Time) (*list, error) {
	if l := a.list.Load(); l != nil && !l.at.Before(notBefore) {
		return l, nil
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l := a.list.Load(); l != nil && !l.at.Before(notBefore) {
		return l, nil // somebody loaded it meanwhile
	}
	return a.load(ctx)
}

// freshAfterMiss does the same on account of a token that is not in the list. All who wait share one look, and there are few
// looks a second: wrong tokens cost the database nothing, and whoever tries some has to wait.
func (a *Access) freshAfterMiss(ctx context.Context, notBefore time.Time) (*list, error) {
	select {
	case a.missTurn <- struct{}{}:
		defer func() { <-a.missTurn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l := a.list.Load(); !l.at.Before(notBefore) {
		return l, nil
	}
	if err := a.misses.Wait(ctx); err != nil {
		return nil, err
	}
	return a.fresh(ctx, notBefore)
}

// load asks the database; its caller has the turn. It goes on when the caller leaves, since others wait for it.
func (a *Access) load(ctx context.Context) (*list, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
	defer cancel()
	l := &list{at: time.Now(), tokens: map[[32]byte]*postgres.Token{}}
	tokens, err := a.db.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tokens {
		l.tokens[t.Hash] = t
		l.configured = l.configured || t.RevokedAt.IsZero()
	}
	if a.provider != nil {
		stores, err := a.db.Stores(ctx)
		if err != nil {
			return nil, err
		}
		l.stores = make(map[string]int32, len(stores))
		for _, s := range stores {
			l.stores[s.Key] = s.ID
		}
	}
	a.list.Store(l)
	return l, nil
}

// Usable tells whether anybody at all could come in: by a provider, or by a token that stands.
func (a *Access) Usable(ctx context.Context) (bool, error) {
	if a.provider != nil {
		return true, nil
	}
	l, err := a.fresh(ctx, time.Now())
	if err != nil {
		return false, err
	}
	for _, t := range l.tokens {
		if t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || a.now().Before(t.ExpiresAt)) {
			return true, nil
		}
	}
	return false, nil
}

// numbers gives the sorted numbers of stores that are there; others are left out.
func numbers(keys []string, stores map[string]int32) []int32 {
	var list []int32
	for _, key := range keys {
		if id, ok := stores[key]; ok {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
