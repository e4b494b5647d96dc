// Package obs is what operators see of the program: names of requests in its log, and traces.
package obs

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"regexp"
)

// requestHeader carries a request's id, in both directions.
const requestHeader = "X-Request-Id"

// requestID is what is taken over from a client or a proxy; anything else gets an id of ours.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

type idKey struct{}

// Requests gives every request an id: the client's, where it has a proper one. It stands in the answer's header and, by Log,
// in every line that is logged for the request.
func Requests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestHeader)
		if !requestID.MatchString(id) {
			id = rand.Text()
		}
		w.Header().Set(requestHeader, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), idKey{}, id)))
	})
}

// Log adds the request's id, and what else is known of a context, to every line.
func Log(log *slog.Logger, more func(context.Context) []slog.Attr) *slog.Logger {
	return slog.New(handler{log.Handler(), more})
}

type handler struct {
	slog.Handler
	more func(context.Context) []slog.Attr
}

// Handle is of slog.Handler.
func (h handler) Handle(ctx context.Context, line slog.Record) error {
	if id, ok := ctx.Value(idKey{}).(string); ok {
		line.AddAttrs(slog.String("request", id))
	}
	line.AddAttrs(h.more(ctx)...)
	return h.Handler.Handle(ctx, line)
}

// WithAttrs is of slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs), h.more}
}

// WithGroup is of slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.more}
}
