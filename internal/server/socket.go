package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql/handler/transport"

	"github.com/quimbi/quimbi/engine"
)

const subprotocol = "graphql-transport-ws"

// Close codes of graphql-transport-ws (its PROTOCOL.md) and of WebSocket (RFC 6455, section 7.4, and its registry). Clients connect
// again after 1001 and 1013, and tell their user of those from 4400 on.
const (
	closedGoingAway       = 1001
	closedTryAgain        = 1013
	closedBadMessage      = 4400
	closedUnauthenticated = 4401 // without a valid token, or before there is one
	closedLate            = 4408
	closedInitTwice       = 4429
)

// Why streams end that would else go on.
var (
	serverEnds = engine.Errorf(engine.CodeUnavailable, "The server is ending. Subscribe again.")
	callerOut  = engine.Errorf(engine.CodeUnauthenticated, "The token is no longer valid.")
)

// socketEnd is why a socket is closed: it is told by the close code, and not as an event as well.
type socketEnd struct{ fault *engine.Error }

func (e socketEnd) Error() string { return e.fault.Message }

// isUpgrade tells whether a request asks for a socket of the one subprotocol, as RFC 6455, section 4.2.1, wants it.
func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && lists(r.Header, "Connection", "upgrade") && lists(r.Header, "Upgrade", "websocket") &&
		r.Header.Get("Sec-WebSocket-Version") == "13" && r.Header.Get("Sec-WebSocket-Key") != ""
}

// sockets accepts WebSockets for gqlgen's transport.
type sockets struct {
	transport.CoderWebsocketImplementation
}

// Accept makes a socket of a request.
func (i sockets) Accept(w http.ResponseWriter, r *http.Request, o transport.WebsocketAcceptOptions) (transport.WebsocketConn, error) {
	conn, err := i.CoderWebsocketImplementation.Accept(w, r, o)
	if err != nil {
		return nil, err
	}
	return &socket{WebsocketConn: conn, ctx: r.Context()}, nil
}

// socket holds a client to the protocol, and says by the protocol's codes why it is closed: gqlgen closes whatever ends with 1000,
// after which clients believe that all was said, and takes a second connection_init for an unexpected message.
type socket struct {
	transport.WebsocketConn
	ctx   context.Context // ends with the socket; its cause says why
	begun bool            // whether connection_init came
}

var _ transport.WebsocketReadLimiter = (*socket)(nil)

// SetReadLimit bounds a message.
func (s *socket) SetReadLimit(limit int64) {
	if limiter, ok := s.WebsocketConn.(transport.WebsocketReadLimiter); ok {
		limiter.SetReadLimit(limit)
	}
}

// NextReader gives the next message; a socket whose client breaks the protocol is closed instead.
func (s *socket) NextReader() (int, io.Reader, error) {
	kind, r, err := s.WebsocketConn.NextReader()
	if err != nil {
		return kind, nil, err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return kind, nil, err
	}
	if code, reason := s.fault(text); code != 0 {
		_ = s.WebsocketConn.WriteClose(code, reason) // whoever is gone need not be told
		return kind, nil, transport.ErrWebsocketClosed
	}
	return kind, bytes.NewReader(text), nil
}

// fault says what is wrong with a client's message, by a close code; 0: nothing.
func (s *socket) fault(text []byte) (code int, reason string) {
	var m struct{ ID, Type string }
	if json.Unmarshal(text, &m) != nil || !slices.Contains([]string{"connection_init", "subscribe", "complete", "ping", "pong"}, m.Type) {
		return closedBadMessage, "Invalid message"
	}
	switch first := !s.begun; {
	case m.Type == "connection_init":
		s.begun = true
		if !first {
			return closedInitTwice, "Too many initialisation requests"
		}
	case m.Type == "subscribe" && first:
		return closedUnauthenticated, "Unauthorized"
	case first:
		return closedBadMessage, "connection_init comes first"
	case m.Type == "subscribe" && m.ID == "":
		return closedBadMessage, "subscribe needs an id"
	}
	return 0, ""
}

// WriteClose says why the socket is closed.
func (s *socket) WriteClose(code int, reason string) error {
	end, wanted := errors.AsType[socketEnd](context.Cause(s.ctx))
	switch {
	case code == transport.WebsocketCloseNormalClosure && wanted:
		code, reason = closedGoingAway, string(end.fault.Code)+": "+end.fault.Message
		if end.fault.Code == engine.CodeUnauthenticated {
			code = closedUnauthenticated
		}
	case code == transport.WebsocketCloseProtocolError && strings.HasSuffix(reason, "timeout"):
		code, reason = closedLate, "Connection initialisation timeout"
	case code == transport.WebsocketCloseProtocolError:
		code = closedBadMessage
	}
	return s.WebsocketConn.WriteClose(code, reason)
}

// lists tells whether a header is a list that has a word, in any case.
func lists(h http.Header, name, word string) bool {
	for _, line := range h.Values(name) {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), word) {
				return true
			}
		}
	}
	return false
}
