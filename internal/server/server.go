// Package server answers HTTP: GraphQL over POST, GET, WebSocket and server-sent events, the explorer, health and metrics.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/99designs/gqlgen/graphql/playground"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/obs"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/resolvers"
	"github.com/quimbi/quimbi/web"
)

// Config is what a server needs.
type Config struct {
	Resolver *resolvers.Resolver
	Log      *slog.Logger
	Limits   Limits        // zero: DefaultLimits
	Timeout  time.Duration // of a query or mutation; zero: 30 s
	Webhooks Webhooks
	Traces   *obs.Traces // nil: none
	// WriteTime is how long one write to a client may take; zero: 30 s.
	WriteTime time.Duration
	Access    *auth.Access // who may come in; nil: by the tokens of the database alone
	Quota     Quota        // of one caller; zero: DefaultQuota
	// Trusted, where there are any, are the only documents that run.
	Trusted TrustedDocuments
	// NoDirect leaves every answer to gqlgen: what is written without it is compared with that.
	NoDirect bool
	// NoIntrospection and NoExplorer keep the schema and the page from being served.
	NoIntrospection, NoExplorer bool
	Origins                     []string // other origins than its own whose pages may use the API, such as https://dash.example.com
}

// Server is the HTTP side of the program.
type Server struct {
	config   Config
	handler  http.Handler
	migrated atomic.Bool
	// streams ends with the server, before requests do: subscriptions would else hold it up.
	streams    context.Context
	endStreams context.CancelFunc
	open       sync.WaitGroup
	// requests ends a moment before those that still go on are cut off, so that they are answered.
	requests    context.Context
	endRequests context.CancelFunc
	quotas      *quotas
	// loopback is set while only this machine can connect.
	loopback atomic.Bool
}

const (
	defaultTimeout = 30 * time.Second
	// shutdownTime is how long requests and subscriptions have to end. What still works or is still awaited by then, but for
	// answerTime, is given up and answered.
	shutdownTime = 5 * time.Second
	answerTime   = time.Second
	initTimeout  = 10 * time.Second
	pingInterval = 20 * time.Second
	headerTime   = 10 * time.Second
	headerBytes  = 64 << 10
	idleTime     = 2 * time.Minute
)

var registerOnce sync.Once

// New makes a server.
func New(c Config) *Server {
	registerOnce.Do(registerCodes)
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.WriteTime == 0 {
		c.WriteTime = writeTime
	}
	if c.Quota == (Quota{}) {
		c.Quota = DefaultQuota
	}
	if c.Access == nil {
		c.Access = auth.New(c.Resolver.DB, nil, time.Now)
	}
	s := &Server{config: c}
	s.streams, s.endStreams = context.WithCancel(context.Background())
	s.requests, s.endRequests = context.WithCancel(context.Background())
	s.quotas = newQuotas(c.Quota)
	c.Resolver.Log = obs.Log(c.Resolver.Log, operationOf)
	m := newMetrics(c.Resolver.DB, c.Resolver.Log, c.Traces)
	mux := http.NewServeMux()
	mux.Handle("/graphql", s.sharing(s.graphQL(m)))
	mux.HandleFunc("POST "+webhookPath+"shopify/{store}", s.shopify)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", s.forAllStores(promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})))
	if !c.NoExplorer {
		mux.Handle("GET /explorer/", s.explorer())
		mux.Handle("GET /{$}", http.RedirectHandler("/explorer/", http.StatusFound))
	}
	s.handler = obs.Requests(c.Traces.Handler(secured(mux)))
	return s
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

// ready says 200 once the schema is up to date and the database answers.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), shutdownTime)
	defer cancel()
	db := s.config.Resolver.DB
	if err := db.Ping(ctx); err != nil {
		plain(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	if !s.migrated.Load() {
		list, err := db.Migrations(ctx, s.config.Log)
		if err != nil {
			plain(w, http.StatusServiceUnavailable, "the schema cannot be looked at")
			return
		}
		for _, m := range list {
			if !m.Applied {
				plain(w, http.StatusServiceUnavailable, "the schema is not up to date: run migrate up")
				return
			}
		}
		s.migrated.Store(true)
	}
	plain(w, http.StatusOK, "ready")
}

func (s *Server) graphQL(m *metrics) http.Handler {
	r := s.config.Resolver
	schema := graph.NewExecutableSchema(graph.Config{Resolvers: r, Directives: graph.DirectiveRoot{RequiresRole: r.RequireRole}})
	gql := handler.New(schema)
	// The order matters: whatever is not a stream goes to the last one.
	var accept sockets
	accept.AcceptOptions.InsecureSkipVerify = true // sharing has looked at the origin, and knows those on the list
	gql.AddTransport(transport.Websocket{
		Implementation: accept, InitFunc: s.initialize, InitTimeout: initTimeout, PingPongInterval: pingInterval, MissingPongOk: true,
	})
	gql.AddTransport(transport.SSE{KeepAlivePingInterval: pingInterval})
	gql.AddTransport(overHTTP{})
	gql.SetQueryCache(shortDocuments{lru.New[*ast.QueryDocument](parsedDocuments)})
	gql.SetParserTokenLimit(s.config.Limits.Tokens)
	gql.SetDisableSuggestion(s.config.NoIntrospection) // "did you mean" tells the schema too
	gql.SetErrorPresenter(r.Present)
	gql.SetRecoverFunc(r.Recover)
	// The order matters: first who asks how often, then what.
	gql.Use(s.quotas)
	if s.config.Trusted != nil {
		gql.Use(s.config.Trusted)
	} else {
		gql.Use(newPersistedQueries())
	}
	gql.Use(extension.Introspection{})
	gql.Use(gate{})
	gql.Use(limiter{s.config.Limits, s.config.NoIntrospection})
	gql.Use(oneOf{schema.Schema()})
	gql.AroundOperations(m.aroundOperations)
	gql.AroundOperations(r.AroundOperations)
	gql.AroundRootFields(r.AroundRootFields)
	if !s.config.NoDirect {
		gql.AroundFields(r.Direct())
	}
	gql.AroundResponses(m.around)
	gql.AroundResponses(s.bounded)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, token, refused := s.caller(r)
		if refused == nil && caller.IsNobody() && isEventStream(r) {
			refused = unauthenticated(needsToken)
		}
		if refused != nil {
			refused.send(w, mediaType(r))
			return
		}
		r = r.WithContext(auth.With(postgres.WithStatementTime(r.Context(), s.config.Timeout), caller))
		if !lists(r.Header, "Upgrade", "websocket") {
			r.Header.Del("Upgrade") // others may be left aside (RFC 9110, 7.8); some clients offer HTTP/2 with every request
		}
		if r.Header.Get("Upgrade") == "" {
			defer s.expectBody(w, r, s.config.Limits.BodyBytes, s.config.Timeout)()
		}
		if !checkStream(w, r) {
			return
		}
		if isEventStream(r) {
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // its body is read
		}
		if r.Header.Get("Upgrade") != "" || isEventStream(r) {
			s.stream(gql, w, r, token)
			return
		}
		gql.ServeHTTP(w, r)
	})
}

// expectBody bounds a request's body in bytes and in time, and by the end of the server. What it gives is called when the request
// is answered.
func (s *Server) expectBody(w http.ResponseWriter, r *http.Request, bytes int64, limit time.Duration) func() bool {
	body := http.NewResponseController(w)
	_ = body.SetReadDeadline(time.Now().Add(limit)) // not every writer has deadlines; then the limit of bytes is what there is
	r.Body = http.MaxBytesReader(w, r.Body, bytes)
	return context.AfterFunc(s.requests, func() { _ = body.SetReadDeadline(time.Now()) })
}

// bounded ends queries and mutations that take too long.
func (s *Server) bounded(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	if graphql.HasOperationContext(ctx) {
		if op := graphql.GetOperationContext(ctx); op.Operation != nil && op.Operation.Operation != ast.Subscription {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, s.config.Timeout)
			defer cancel()
		}
	}
	return next(ctx)
}

// stream answers with a socket or with events that end when the server ends, or when the caller may no longer come in.
func (s *Server) stream(h http.Handler, w http.ResponseWriter, r *http.Request, token string) {
	s.open.Add(1)
	defer s.open.Done()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	end := func(fault *engine.Error) {
		if isEventStream(r) {
			cancel(fault) // the last event tells
		} else {
			cancel(socketEnd{fault})
		}
	}
	defer context.AfterFunc(s.streams, func() { end(serverEnds) })()
	isLocal := s.isLocal(r)
	guard := func(token string) { s.open.Go(func() { s.guard(ctx, func() { end(callerOut) }, token, isLocal) }) }
	if isEventStream(r) {
		guard(token)
	}
	h.ServeHTTP(w, r.WithContext(context.WithValue(ctx, streamingKey{}, streaming{token, isLocal, guard})))
}

// explorer gives the page with the vendored files, else gqlgen's, which loads from the network.
func (s *Server) explorer() http.Handler {
	if page, ok := web.Explorer(); ok {
		return http.StripPrefix("/explorer", page)
	}
	s.config.Log.Warn("the explorer's files are not built in: /explorer/ loads them from the network; `make web` and a new build make it work offline")
	return playground.Handler("Quimbi", "/graphql")
}

// secured adds the headers that hold everywhere. The explorer's own policy replaces the strict one.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if !strings.HasPrefix(r.URL.Path, "/explorer/") {
			h.Set("Content-Security-Policy", web.Policy)
		}
		next.ServeHTTP(w, r)
	})
}

// loopbackOnly refuses other names for this machine than its loopback ones while whoever connects may do everything: else a page
// whose name is made to point here (DNS rebinding) could talk to the server as if it were its own. Such a page has no token.
// Messages of shops come through somebody's proxy, and are signed.
func (s *Server) loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) && !strings.HasPrefix(r.URL.Path, webhookPath) {
			if open, err := s.config.Access.Open(r.Context()); open || err != nil {
				fail(http.StatusMisdirectedRequest, "FORBIDDEN", "Without access tokens this server answers to localhost, 127.0.0.1 and [::1] alone.").send(w, mediaJSON)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Serve answers on a listener until the context is done. Then subscriptions end first and requests have 5 seconds, of which the
// last one is for answers to what was given up. Whoever still does not read or hang up is cut off; that is no fault of the server.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	h := http.Handler(s)
	if isLoopback(listener.Addr().String()) {
		s.loopback.Store(true)
		h = s.loopbackOnly(h)
	}
	httpServer := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug), BaseContext: func(net.Listener) context.Context { return s.requests },
	}
	defer s.endRequests()
	go s.config.Resolver.Models.Follow(ctx, s.config.Resolver.Events)
	conns := &connections{Listener: listener, writeTime: s.config.WriteTime}
	httpServer.ConnState = conns.note
	httpServer.RegisterOnShutdown(conns.closeUnused)
	failed := make(chan error, 1)
	go func() { failed <- httpServer.Serve(conns) }()
	select {
	case err := <-failed:
		s.endStreams()
		return err
	case <-ctx.Done():
	}
	s.endStreams()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	defer time.AfterFunc(shutdownTime-answerTime, s.endRequests).Stop()
	err := httpServer.Shutdown(end)
	s.waitForStreams(end)
	if open := conns.closeAll(); open > 0 {
		s.config.Log.WarnContext(ctx, "connections were cut off when the server ended", slog.Int("connections", open))
	}
	if err != nil {
		_ = httpServer.Close() // what it knows is closed already
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// waitForStreams waits for sockets too, which the HTTP server has given away.
func (s *Server) waitForStreams(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		s.open.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}
