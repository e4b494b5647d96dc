package cli

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/internal/server"
)

// AccessSettings say who may use the API, beside those who have tokens.
type AccessSettings struct {
	OIDCIssuer      string   `name:"oidc-issuer" env:"OIDC_ISSUER" placeholder:"URL" group:"Access" help:"An OpenID Connect provider whose tokens (JWTs) are taken."`
	OIDCAudience    string   `name:"oidc-audience" env:"OIDC_AUDIENCE" placeholder:"NAME" group:"Access" help:"Whom the provider's tokens must be made for."`
	OIDCStoresClaim string   `name:"oidc-stores-claim" env:"OIDC_STORES_CLAIM" default:"quimbi_stores" placeholder:"CLAIM" group:"Access" help:"The claim with the keys of the stores, * for all; within others as a.b."`
	OIDCRoleClaim   string   `name:"oidc-role-claim" env:"OIDC_ROLE_CLAIM" default:"quimbi_role" placeholder:"CLAIM" group:"Access" help:"The claim with the role: reader, operator or admin; within others as a.b."`
	CORSOrigins     []string `name:"cors-origins" env:"CORS_ORIGINS" placeholder:"ORIGIN,..." group:"Access" help:"Origins of pages that may use the API, such as https://dash.example.com."`
}

// LimitSettings bound what callers may ask for.
type LimitSettings struct {
	RateLimit        float64       `name:"rate-limit" env:"API_RATE_LIMIT" default:"100" group:"Limits" help:"Operations a second of one token, 0 for any number."`
	MaxOperations    int           `name:"max-operations" env:"API_MAX_OPERATIONS" default:"50" group:"Limits" help:"Queries and mutations of one token at once."`
	MaxSubscriptions int           `name:"max-subscriptions" env:"API_MAX_SUBSCRIPTIONS" default:"500" group:"Limits" help:"Subscriptions of one token at once, and sockets."`
	RequestTimeout   time.Duration `name:"request-timeout" env:"API_REQUEST_TIMEOUT" default:"30s" group:"Limits" help:"How long a query or mutation may take."`
	TrustedDocuments string        `name:"trusted-documents" env:"API_TRUSTED_DOCUMENTS" placeholder:"FILE" group:"Limits" help:"The only documents that run: JSON, from the SHA-256 of each to its text."`
	Introspection    bool          `env:"API_INTROSPECTION" default:"true" negatable:"" group:"Limits" help:"Tell the schema."`
	Explorer         bool          `env:"API_EXPLORER" default:"true" negatable:"" group:"Limits" help:"Serve the explorer."`
}

// put puts the limits into a server's settings.
func (s *LimitSettings) put(c *server.Config) error {
	if s.RateLimit < 0 || s.MaxOperations < 1 || s.MaxSubscriptions < 0 || s.RequestTimeout < time.Second {
		return engine.Errorf(engine.CodeInvalid, "--rate-limit and --max-subscriptions must not be negative, --max-operations at least 1 and --request-timeout at least 1s")
	}
	c.Quota = server.Quota{Rate: s.RateLimit, Operations: s.MaxOperations, Subscriptions: s.MaxSubscriptions}
	if s.RateLimit == 0 {
		c.Quota.Rate = -1
	}
	c.Timeout, c.NoIntrospection, c.NoExplorer = s.RequestTimeout, !s.Introspection, !s.Explorer
	if s.TrustedDocuments == "" {
		return nil
	}
	body, err := os.ReadFile(s.TrustedDocuments)
	if err != nil {
		return cannotOpen(s.TrustedDocuments, err)
	}
	c.Trusted, err = server.ReadTrustedDocuments(body)
	return err
}

// check looks at what can be looked at without asking anybody.
func (s *AccessSettings) check() error {
	for _, origin := range s.CORSOrigins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || origin != u.Scheme+"://"+u.Host || strings.Contains(origin, "*") {
			return engine.Errorf(engine.CodeInvalid, "--cors-origins takes origins such as https://dash.example.com, without a path and without *, not %q", origin)
		}
	}
	return nil
}

// access sees to it that nobody is let in by mistake, and says who is.
func (a *app) access(o *office, s AccessSettings, listener net.Listener) (*auth.Access, error) {
	var provider *auth.Provider
	if s.OIDCIssuer != "" {
		var err error
		provider, err = auth.NewProvider(a.ctx, auth.ProviderConfig{
			Issuer: s.OIDCIssuer, Audience: s.OIDCAudience, StoresClaim: s.OIDCStoresClaim, RoleClaim: s.OIDCRoleClaim,
		}, a.log, a.now)
		if err != nil {
			return nil, err
		}
	}
	access := auth.New(o.db, provider, a.now)
	usable, err := access.Usable(a.ctx)
	if err != nil {
		return nil, err
	}
	address, _ := listener.Addr().(*net.TCPAddr)
	if !usable && (address == nil || !address.IP.IsLoopback()) {
		return nil, engine.Errorf(engine.CodeInvalid,
			"%s can be reached from other machines, and nothing says who may come in: make a token (quimbi token create --all-stores --role admin), set OIDC_ISSUER, or serve on 127.0.0.1", listener.Addr())
	}
	fenced, err := o.db.Fenced(a.ctx)
	if err != nil {
		return nil, err
	}
	if !fenced {
		a.say("The second fence is down: the database has no role quimbi_api that it lets this program use. Stores are kept apart by the program alone; docs/operations.md says what to do.")
	}
	open, err := access.Open(a.ctx)
	switch {
	case err != nil:
		return nil, err
	case open:
		a.say("No access is set up: whoever uses this machine is ADMIN of all stores. quimbi token create ends that.")
	case address != nil && !address.IP.IsLoopback():
		a.say("Every request needs a token. They are sent in clear: let a proxy with TLS stand before %s.", listener.Addr())
	default:
		a.say("Every request needs a token.")
	}
	return access, nil
}

type tokenCommand struct {
	Create tokenCreate `cmd:"" help:"Make a token; it is shown once."`
	List   tokenList   `cmd:"" help:"List the tokens, without what they are."`
	Revoke tokenRevoke `cmd:"" help:"End a token; servers refuse it within seconds."`
}

type (
	tokenCreate struct {
		Store     string `xor:"stores" required:"" placeholder:"KEY" help:"The store that may be seen."`
		AllStores bool   `xor:"stores" required:"" help:"All stores, those to come among them."`
		Role      string `required:"" enum:"reader,operator,admin" placeholder:"reader|operator|admin" help:"reader: queries and subscriptions; operator: also imports, runs and snapshots; admin: also settings, cleanups, exports and erasures of customers."`
		Name      string `placeholder:"TEXT" help:"What it is for, for people and the audit log."`
		Expires   string `placeholder:"WHEN" help:"A date, or a time from now such as 90d or 12h; never unless told."`
	}
	tokenList   struct{}
	tokenRevoke struct {
		ID string `arg:"" help:"The token's id, as token list tells it."`
	}
)

// tokenResult is a token as it is printed.
type tokenResult struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Store     *string    `json:"store"` // null: all stores
	Role      string     `json:"role"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"` // null: never
	RevokedAt *time.Time `json:"revoked_at"` // null: it stands
}

func resultOf(t *postgres.Token) tokenResult {
	return tokenResult{
		ID: t.ID, Name: t.Name, Store: orNil(t.StoreKey), Role: t.Role, CreatedAt: t.CreatedAt,
		ExpiresAt: orNil(t.ExpiresAt), RevokedAt: orNil(t.RevokedAt),
	}
}

// maxName bounds a token's name.
const maxName = 200

// Run makes a token.
func (c *tokenCreate) Run(a *app) (err error) {
	expires, err := c.expiry(a.now())
	if err != nil {
		return err
	}
	role, err := auth.ParseRole(c.Role)
	if err != nil {
		return err
	}
	if len(c.Name) > maxName || strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == '\uFFFD' }) {
		return engine.Errorf(engine.CodeInvalid, "--name is one line of at most %d bytes", maxName)
	}
	s, err := a.open()
	if err != nil {
		return err
	}
	defer closing(s, &err)
	t := &postgres.Token{ID: uuid.NewString(), Name: c.Name, Role: role.String(), ExpiresAt: expires}
	if t.Name == "" {
		t.Name = strings.ToLower(t.Role)
	}
	if !c.AllStores {
		store, err := s.db.StoreByKey(a.ctx, c.Store)
		if err != nil {
			return err
		}
		t.StoreID, t.StoreKey = store.ID, store.Key
	}
	var token string
	token, t.Hash = auth.NewToken()
	if err := s.db.InsertToken(a.ctx, t); err != nil {
		return err
	}
	object := struct {
		Token string `json:"token"`
		tokenResult
	}{token, resultOf(t)}
	return a.print(object, func(w io.Writer) {
		fmt.Fprintln(w, token)
		a.say("Keep it now, it is not shown again; its id is %s. From now on every request to the API needs a token.", t.ID)
	})
}

// expiry reads --expires: a date, whose first moment ends the token, or a time from now.
func (c *tokenCreate) expiry(now time.Time) (time.Time, error) {
	if c.Expires == "" {
		return time.Time{}, nil
	}
	at, ok := time.Time{}, false
	if date, err := engine.ParseDate(c.Expires); err == nil {
		at, ok = date.UTC(), true
	} else if text, isDays := strings.CutSuffix(c.Expires, "d"); isDays {
		days, err := strconv.Atoi(text)
		at, ok = now.AddDate(0, 0, days), err == nil && days < 100_000
	} else if span, err := time.ParseDuration(c.Expires); err == nil {
		at, ok = now.Add(span), true
	}
	if !ok || !at.After(now) {
		return at, engine.Errorf(engine.CodeInvalid, "--expires is a date to come, or a time from now such as 90d or 12h, not %q", c.Expires)
	}
	return at, nil
}

// Run lists tokens.
func (*tokenList) Run(a *app) (err error) {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer closing(s, &err)
	tokens, err := s.db.Tokens(a.ctx)
	if err != nil {
		return err
	}
	results := []tokenResult{}
	for _, t := range tokens {
		results = append(results, resultOf(t))
	}
	return a.print(map[string][]tokenResult{"tokens": results}, func(w io.Writer) {
		for i := range results {
			results[i].describe(w, a.now())
		}
	})
}

func (t *tokenResult) describe(w io.Writer, now time.Time) {
	store, state := "all stores", "valid"
	if t.Store != nil {
		store = *t.Store
	}
	switch {
	case t.RevokedAt != nil:
		state = "revoked"
	case t.ExpiresAt != nil && !now.Before(*t.ExpiresAt):
		state = "expired"
	case t.ExpiresAt != nil:
		state = "until " + t.ExpiresAt.Format(time.DateTime)
	}
	fmt.Fprintf(w, "%s  %-8s  %-20s %-26s %s\n", t.ID, strings.ToLower(t.Role), store, state, t.Name)
}

// Run revokes a token.
func (c *tokenRevoke) Run(a *app) (err error) {
	if _, err := uuid.Parse(c.ID); err != nil {
		return engine.Errorf(engine.CodeInvalid, "name the token by its id, as quimbi token list tells it")
	}
	s, err := a.open()
	if err != nil {
		return err
	}
	defer closing(s, &err)
	if err := s.db.RevokeToken(a.ctx, c.ID); err != nil {
		return err
	}
	return a.print(map[string]string{"revoked": c.ID}, func(w io.Writer) {
		fmt.Fprintln(w, "Revoked. Servers refuse it within seconds.")
	})
}
