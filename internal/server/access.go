package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/postgres"
)

const (
	// recheck is the time between looks whether the caller of an open stream may still come in.
	recheck = time.Second
	// tokenBytes is how long a token may be; providers' are some kilobytes at most.
	tokenBytes = 16 << 10
)

// urlTokens are parameters by which people send tokens in URLs, which end up in logs and histories.
var urlTokens = []string{"token", "access_token", "accesstoken", "auth", "authorization", "bearer", "api_key", "apikey"}

// forwarding are the headers by which proxies tell for whom they ask.
var forwarding = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"}

func unauthenticated(message string) *failure {
	return fail(http.StatusUnauthorized, string(engine.CodeUnauthenticated), message)
}

// showsToken reads "Bearer TOKEN"; nothing where there is no header.
func showsToken(header string) (string, *failure) {
	if header == "" {
		return "", nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > tokenBytes {
		return "", unauthenticated("Show a token as Authorization: Bearer TOKEN.")
	}
	return token, nil
}

// caller tells who sends a request, and the token that it showed.
func (s *Server) caller(r *http.Request) (*auth.Identity, string, *failure) {
	for name := range r.URL.Query() {
		if slices.Contains(urlTokens, strings.ToLower(name)) {
			return nil, "", fail(http.StatusBadRequest, "BAD_USER_INPUT",
				"Tokens do not belong into URLs, which are kept in logs and histories: send Authorization: Bearer, or over a WebSocket Authorization in connection_init. Revoke the one that was sent.")
		}
	}
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return nil, "", unauthenticated("Show one token.")
	}
	token, refused := showsToken(strings.Join(headers, ""))
	if refused != nil {
		return nil, "", refused
	}
	caller, err := s.config.Access.Identify(r.Context(), token, s.isLocal(r))
	if err != nil {
		return nil, "", s.refuseCaller(r.Context(), err)
	}
	return caller, token, nil
}

// isLocal tells whether a request comes from a program on this machine, and not by way of a proxy on it.
func (s *Server) isLocal(r *http.Request) bool {
	return s.loopback.Load() && !slices.ContainsFunc(forwarding, func(name string) bool { return r.Header.Get(name) != "" })
}

// refuseCaller tells why nobody knows who calls; faults of the database are told as such, and never let anybody in.
func (s *Server) refuseCaller(ctx context.Context, err error) *failure {
	if known, ok := errors.AsType[*engine.Error](err); ok && known.Code == engine.CodeUnauthenticated {
		return unauthenticated(known.Message)
	}
	s.config.Log.ErrorContext(ctx, "a caller could not be identified", slog.Any("error", err))
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || postgres.IsUnavailable(err) {
		return fail(http.StatusServiceUnavailable, "UNAVAILABLE", "The database cannot be reached. Try again in a moment.")
	}
	return fail(http.StatusInternalServerError, "INTERNAL", "Internal error. The server's log has the details.")
}

// forAllStores lets only those in who see all stores: what it guards tells of all together.
func (s *Server) forAllStores(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _, refused := s.caller(r)
		switch {
		case refused != nil:
		case caller.IsNobody():
			refused = unauthenticated("This needs a token for all stores.")
		case !caller.AllStores():
			refused = fail(http.StatusForbidden, string(engine.CodeForbidden), "This needs a token for all stores.")
		default:
			next.ServeHTTP(w, r)
			return
		}
		refused.send(w, mediaJSON)
	})
}

// gate lets those who do not show who they are ask for health and nothing else.
type gate struct{}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
} = gate{}

// ExtensionName is for gqlgen.
func (gate) ExtensionName() string { return "Gate" }

// Validate is for gqlgen.
func (gate) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses operations.
func (gate) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	if !auth.From(ctx).IsNobody() || op.Operation.Operation == ast.Query && asksForHealth(op.Operation.SelectionSet, 0) {
		return nil
	}
	return refusal(string(engine.CodeUnauthenticated), needsToken)
}

const needsToken = "This needs a token: send Authorization: Bearer TOKEN. Without one only health is told."

// asksForHealth tells whether a query's root fields are health alone; fragments within fragments are not looked into.
func asksForHealth(set ast.SelectionSet, depth int) bool {
	for _, selected := range set {
		switch s := selected.(type) {
		case *ast.Field:
			if s.Name != "health" && s.Name != "__typename" {
				return false
			}
		case *ast.InlineFragment:
			if depth > 0 || !asksForHealth(s.SelectionSet, depth+1) {
				return false
			}
		case *ast.FragmentSpread:
			if depth > 0 || s.Definition == nil || !asksForHealth(s.Definition.SelectionSet, depth+1) {
				return false
			}
		}
	}
	return true
}

// streaming is what the transport of a stream needs to know of its request.
type streaming struct {
	token string
	local bool
	guard func(token string) // ends the stream once the token is no longer valid
}

type streamingKey struct{}

// initialize takes the token of a WebSocket's connection_init, where the request itself showed none, and counts the caller's sockets.
func (s *Server) initialize(ctx context.Context, payload transport.InitPayload) (context.Context, *transport.InitPayload, error) {
	closeCode := closedUnauthenticated
	stream, _ := ctx.Value(streamingKey{}).(streaming)
	token, refused := showsToken(payload.Authorization())
	if token == "" {
		token = stream.token
	}
	var caller *auth.Identity
	if refused == nil {
		var err error
		if caller, err = s.config.Access.Identify(ctx, token, stream.local); err != nil {
			refused = s.refuseCaller(ctx, err)
		} else if caller.IsNobody() {
			refused = unauthenticated(`This needs a token: send it in connection_init as {"Authorization": "Bearer TOKEN"}.`)
		}
	}
	if refused == nil {
		ctx = auth.With(ctx, caller)
		if refused = s.quotas.socket(ctx); refused != nil {
			closeCode = closedTryAgain
		}
	}
	if refused != nil {
		closed := transport.WithWebsocketCloseCode(ctx, closeCode)
		return transport.AppendCloseReason(closed, refused.code), nil, errors.New(refused.message)
	}
	stream.guard(token)
	return ctx, nil, nil
}

// guard ends a stream once its caller may no longer come in: its token is revoked or has expired, or access was set up.
func (s *Server) guard(ctx context.Context, end func(), token string, onThisMachine bool) {
	ticker := time.NewTicker(recheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		caller, err := s.config.Access.Identify(ctx, token, onThisMachine)
		if err == nil && caller.IsNobody() || err != nil && engine.CodeOf(err) == engine.CodeUnauthenticated {
			end()
			return
		}
	}
}

// sharing answers pages of other origins than the server's own, where they are on the list; others are refused, so that no page
// uses a server that its reader can reach.
func (s *Server) sharing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		h := w.Header()
		h.Add("Vary", "Origin")
		listed := slices.Contains(s.config.Origins, origin)
		// Images and the like of another site are asked for without an origin; browsers say so all the same.
		strange := origin != "" && !isOrigin(origin, r.Host) || origin == "" && r.Header.Get("Sec-Fetch-Site") == "cross-site"
		if strange && !listed {
			fail(http.StatusForbidden, string(engine.CodeForbidden), "Pages of this origin may not use the API; --cors-origins lists those that may.").send(w, mediaJSON)
			return
		}
		if listed {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate")
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			if listed {
				h.Set("Access-Control-Allow-Methods", "GET, POST")
				h.Set("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type")
				h.Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOrigin tells whether an origin is a host's own.
func isOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}
