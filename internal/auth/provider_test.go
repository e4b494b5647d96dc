package auth_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// issuer is an OpenID Connect provider: its settings, its keys, and the tokens that it signs.
type issuer struct {
	url     string
	key     atomic.Pointer[signer]
	fetches atomic.Int32 // of keys
}

// signer is a key with its name.
type signer struct {
	id  string
	key *rsa.PrivateKey
}

func newSigner(t *testing.T, id string) *signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	return &signer{id, key}
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := new(issuer)
	i.key.Store(newSigner(t, "first"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.url, "jwks_uri": i.url + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.fetches.Add(1)
		s := i.key.Load()
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": s.id,
			"n": encoded(s.key.N.Bytes()), "e": encoded(big.NewInt(int64(s.key.E)).Bytes()),
		}}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// sign makes a JWT (RFC 7519) by RS256 (RFC 7518, 3.3).
func (s *signer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	text := signingInput(t, map[string]any{"alg": "RS256", "kid": s.id}, claims)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, digest[:])
	check(t, err)
	return text + "." + encoded(signature)
}

func signingInput(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	head, err := json.Marshal(header)
	check(t, err)
	body, err := json.Marshal(claims)
	check(t, err)
	return encoded(head) + "." + encoded(body)
}

func TestProvider(t *testing.T) {
	t.Parallel()
	db := postgres.New(pgtest.DB(t))
	shop, err := db.EnsureStore(t.Context(), "shop")
	check(t, err)
	other, err := db.EnsureStore(t.Context(), "other")
	check(t, err)
	from := newIssuer(t)
	var c clock
	c.at.Store(1_700_000_000)
	config := auth.ProviderConfig{Issuer: from.url, Audience: "quimbi", StoresClaim: "stores", RoleClaim: "roles"}
	provider, err := auth.NewProvider(t.Context(), config, slog.New(slog.DiscardHandler), c.now)
	check(t, err)
	access := auth.New(db, provider, c.now)
	claims := func(changes map[string]any) map[string]any {
		all := map[string]any{"iss": from.url, "aud": "quimbi", "sub": "ann", "exp": c.at.Load() + 300, "iat": c.at.Load(), "stores": "shop", "roles": "reader"}
		for name, value := range changes {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
		return all
	}
	signed := func(changes map[string]any) string { return from.key.Load().sign(t, claims(changes)) }

	for name, want := range map[string]struct {
		claims        map[string]any
		role          auth.Role
		all           bool
		shops, others bool
	}{
		"a text each":           {nil, auth.Reader, false, true, false},
		"a list of stores":      {map[string]any{"stores": []string{"other", "shop", "nowhere"}}, auth.Reader, false, true, true},
		"all stores":            {map[string]any{"stores": []string{"*"}, "roles": "Admin"}, auth.Admin, true, true, true},
		"the highest role":      {map[string]any{"roles": []string{"something", "operator", "reader"}}, auth.Operator, false, true, false},
		"for several audiences": {map[string]any{"aud": []string{"another", "quimbi"}}, auth.Reader, false, true, false},
		"a store that is gone":  {map[string]any{"stores": "nowhere"}, auth.Reader, false, false, false},
	} {
		who, err := access.Identify(t.Context(), signed(want.claims), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if who.Role != want.role || who.AllStores() != want.all || who.Sees(shop.ID) != want.shops || who.Sees(other.ID) != want.others || who.Actor != "ann" {
			t.Errorf("%s: %+v", name, who)
		}
	}

	stranger := newSigner(t, "first")
	none := signingInput(t, map[string]any{"alg": "none"}, claims(nil)) + "."
	// A verifier that takes the header's word for the algorithm would use the public key as a secret.
	public := x509.MarshalPKCS1PublicKey(&from.key.Load().key.PublicKey)
	text := signingInput(t, map[string]any{"alg": "HS256", "kid": "first"}, claims(nil))
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(text))
	good := signed(nil)
	for name, token := range map[string]string{
		"for somebody else":    signed(map[string]any{"aud": "another"}),
		"for nobody":           signed(map[string]any{"aud": nil}),
		"of another provider":  signed(map[string]any{"iss": "https://evil.example"}),
		"expired":              signed(map[string]any{"exp": c.at.Load() - 1}),
		"without an end":       signed(map[string]any{"exp": nil}),
		"not valid yet":        signed(map[string]any{"nbf": c.at.Load() + 3600}),
		"without a role":       signed(map[string]any{"roles": nil}),
		"with another role":    signed(map[string]any{"roles": []string{"king"}}),
		"without stores":       signed(map[string]any{"stores": nil}),
		"with stores as a map": signed(map[string]any{"stores": map[string]any{"shop": true}}),
		"by another's key":     stranger.sign(t, claims(nil)),
		"unsigned":             none,
		"by the public key":    text + "." + encoded(mac.Sum(nil)),
		"cut off":              good[:len(good)-4],
		"no JWT":               "abc",
		"empty parts":          "..",
	} {
		if who, err := access.Identify(t.Context(), token, true); engine.CodeOf(err) != engine.CodeUnauthenticated {
			t.Errorf("a token %s: %+v, %v", name, who, err)
		}
	}

	// The provider changes its key; a stream of the caller ends with its token.
	from.key.Store(newSigner(t, "second"))
	changed := signed(nil)
	who, err := access.Identify(t.Context(), changed, false)
	if err != nil || who.Expires.Unix() != c.at.Load()+300 {
		t.Fatalf("after a change of keys: %+v, %v", who, err)
	}
	// The library hands new keys out a moment before it forgets the old ones.
	for tries := 0; ; tries++ {
		_, err := access.Identify(t.Context(), good, false)
		if engine.CodeOf(err) == engine.CodeUnauthenticated {
			break
		}
		if tries == 100_000 {
			t.Fatalf("a token by the key that is gone: %v", err)
		}
		runtime.Gosched()
	}
	c.at.Add(301)
	if _, err := access.Identify(t.Context(), changed, false); engine.CodeOf(err) != engine.CodeUnauthenticated {
		t.Errorf("a token after its end: %v", err)
	}

	// A provider alone closes the door, and tokens made here are taken beside it.
	if here, err := access.Identify(t.Context(), "", true); err != nil || !here.IsNobody() {
		t.Errorf("a local caller beside a provider: %+v, %v", here, err)
	}
	token, _ := give(t, db, 0, auth.Admin, time.Time{})
	if who, err := access.Identify(t.Context(), token, false); err != nil || !who.May(auth.Admin) {
		t.Errorf("a token beside a provider: %+v, %v", who, err)
	}
}

// Claims may stand within others; a name with dots of its own comes first.
func TestNestedClaims(t *testing.T) {
	t.Parallel()
	db := postgres.New(pgtest.DB(t))
	shop, err := db.EnsureStore(t.Context(), "shop")
	check(t, err)
	_, err = db.EnsureStore(t.Context(), "other")
	check(t, err)
	from := newIssuer(t)
	for name, c := range map[string]struct {
		stores, role string
		claims       map[string]any
		in           bool
	}{
		"within":               {"realm_access.stores", "resource_access.quimbi.roles", map[string]any{"realm_access": map[string]any{"stores": "shop"}, "resource_access": map[string]any{"quimbi": map[string]any{"roles": []string{"operator"}}}}, true},
		"a name with dots":     {"https://example.com/stores", "https://example.com/role", map[string]any{"https://example.com/stores": []string{"shop"}, "https://example.com/role": "operator"}, true},
		"the whole name first": {"a.b", "r", map[string]any{"a.b": "shop", "a": map[string]any{"b": "other"}, "r": "operator"}, true},
		"dots within":          {"a.b.c", "r", map[string]any{"a": "x", "a.b": map[string]any{"c": "shop"}, "r": "operator"}, true},
		"not deep enough":      {"a.b", "r", map[string]any{"a": map[string]any{"b": map[string]any{"c": "shop"}}, "r": "operator"}, false},
		"too deep":             {"a.b.c", "r", map[string]any{"a": map[string]any{"b": "shop"}, "r": "operator"}, false},
		"empty names":          {"..", "r", map[string]any{"": map[string]any{"x": "shop"}, "r": "operator"}, false},
		"null":                 {"a.b", "r", map[string]any{"a": nil, "r": "operator"}, false},
	} {
		config := auth.ProviderConfig{Issuer: from.url, Audience: "quimbi", StoresClaim: c.stores, RoleClaim: c.role}
		provider, err := auth.NewProvider(t.Context(), config, slog.New(slog.DiscardHandler), time.Now)
		check(t, err)
		claims := map[string]any{"iss": from.url, "aud": "quimbi", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
		maps.Copy(claims, c.claims)
		who, err := auth.New(db, provider, time.Now).Identify(t.Context(), from.key.Load().sign(t, claims), false)
		if in := err == nil && who.Role == auth.Operator && slices.Equal(who.Stores(), []int32{shop.ID}); in != c.in || err != nil && engine.CodeOf(err) != engine.CodeUnauthenticated {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
}

func TestProviderThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	from := newIssuer(t)
	for name, test := range map[string]struct {
		config auth.ProviderConfig
		code   engine.Code
	}{
		"in clear":            {auth.ProviderConfig{Issuer: "http://login.example", Audience: "a"}, engine.CodeInvalid},
		"without an audience": {auth.ProviderConfig{Issuer: from.url}, engine.CodeInvalid},
		"another's":           {auth.ProviderConfig{Issuer: from.url + "/else", Audience: "a"}, engine.CodeUnavailable},
	} {
		_, err := auth.NewProvider(t.Context(), test.config, slog.New(slog.DiscardHandler), time.Now)
		if engine.CodeOf(err) != test.code {
			t.Errorf("a provider %s: %v", name, err)
		}
	}
}
