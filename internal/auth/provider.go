package auth

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"

	"github.com/quimbi/quimbi/engine"
)

// ProviderConfig says whose tokens are taken.
type ProviderConfig struct {
	Issuer   string // URL of an OpenID Connect provider
	Audience string // whom the tokens are made for: "aud" must name it
	// The claims may stand within others: realm_access.roles.
	StoresClaim string // the claim with the keys of the stores, a text or a list; "*" for all
	RoleClaim   string // the claim with the role, a text or a list of which the highest counts
}

// Provider takes the tokens of an OpenID Connect provider: JWTs that it signed. Signatures, issuer, audience and times are
// looked at by go-oidc, which also fetches the provider's keys, and new ones when they change.
type Provider struct {
	config   ProviderConfig
	verifier *oidc.IDTokenVerifier
}

const (
	providerTime = 10 * time.Second
	// keyPause is the time between fetches of keys after the first few: a token whose key is not known asks for one.
	keyPause   = time.Second
	keyFetches = 5
	everyStore = "*"
)

// NewProvider asks the provider for its settings. Faults: INVALID, UNAVAILABLE.
func NewProvider(ctx context.Context, c ProviderConfig, log *slog.Logger, now func() time.Time) (*Provider, error) {
	issuer, err := url.Parse(c.Issuer)
	if err != nil || issuer.Scheme != "https" && (issuer.Scheme != "http" || !loopback(issuer.Hostname())) {
		return nil, engine.Errorf(engine.CodeInvalid, "OIDC_ISSUER must be a URL that begins with https://")
	}
	if c.Audience == "" {
		return nil, engine.Errorf(engine.CodeInvalid, "OIDC_AUDIENCE is missing: without it tokens that the provider made for others would be taken")
	}
	client := &http.Client{Timeout: providerTime, Transport: seldom{http.DefaultTransport, rate.NewLimiter(rate.Every(keyPause), keyFetches), log}}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, client), c.Issuer)
	if err != nil {
		log.ErrorContext(ctx, "the OpenID Connect provider cannot be used", slog.Any("error", err))
		return nil, engine.Errorf(engine.CodeUnavailable, "the OpenID Connect provider at %s does not tell its settings", c.Issuer)
	}
	verifier := found.VerifierContext(oidc.ClientContext(context.WithoutCancel(ctx), client), &oidc.Config{ClientID: c.Audience, Now: now})
	return &Provider{config: c, verifier: verifier}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// identify tells whom a token is about. Fault: UNAUTHENTICATED, also while its key cannot
// be fetched.
func (p *Provider) identify(ctx context.Context, token string, stores map[string]int32) (*Identity, error) {
	verified, err := p.verifier.Verify(ctx, token)
	if err != nil {
		return nil, unknownToken
	}
	var claims map[string]json.RawMessage
	if err := verified.Claims(&claims); err != nil {
		return nil, unknownToken
	}
	i := &Identity{Key: "sub " + verified.Subject, Actor: verified.Subject, Expires: verified.Expiry}
	for _, text := range texts(claim(claims, p.config.RoleClaim)) {
		if role, err := ParseRole(text); err == nil {
			i.Role = max(i.Role, role)
		}
	}
	keys := texts(claim(claims, p.config.StoresClaim))
	for _, key := range keys {
		i.all = i.all || key == everyStore
	}
	if !i.all {
		i.stores = numbers(keys, stores)
	}
	if i.IsNobody() || len(keys) == 0 {
		return nil, engine.Errorf(engine.CodeUnauthenticated, "the token says no role or no stores: the claims are %s and %s", p.config.RoleClaim, p.config.StoresClaim)
	}
	return i, nil
}

// claim finds a claim by its name, or within objects by names with dots between: realm_access.roles. A claim with just this name
// comes first, since names may have dots of their own: https://example.com/roles.
func claim(claims map[string]json.RawMessage, path string) json.RawMessage {
	if value, ok := claims[path]; ok {
		return value
	}
	for i, letter := range path {
		var inner map[string]json.RawMessage
		if letter != '.' || json.Unmarshal(claims[path[:i]], &inner) != nil {
			continue
		}
		if value := claim(inner, path[i+1:]); value != nil {
			return value
		}
	}
	return nil
}

// texts reads a claim that is a text or a list of texts; anything else is none.
func texts(claim json.RawMessage) []string {
	var one string
	if json.Unmarshal(claim, &one) == nil {
		return []string{one}
	}
	var list []string
	if json.Unmarshal(claim, &list) != nil {
		return nil
	}
	return list
}

// seldom lets requests to the provider wait where they come often, and logs those that fail.
type seldom struct {
	next  http.RoundTripper
	limit *rate.Limiter
	log   *slog.Logger
}

// RoundTrip waits and asks.
func (s seldom) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := s.limit.Wait(r.Context()); err != nil {
		return nil, err
	}
	response, err := s.next.RoundTrip(r)
	if err != nil {
		s.log.WarnContext(r.Context(), "the OpenID Connect provider does not answer", slog.Any("error", err))
	}
	return response, err
}
