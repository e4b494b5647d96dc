package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/quimbi/quimbi/internal/auth"
)

// Media types of answers, after the GraphQL-over-HTTP specification.
const (
	mediaJSON     = "application/json"
	mediaResponse = "application/graphql-response+json"
)

// overHTTP answers queries by GET and POST, and mutations by POST. gqlgen's own transports echo broken bodies, answer
// without codes and execute one event of a subscription; so this is written here.
type overHTTP struct{}

var _ graphql.Transport = overHTTP{}

// Supports takes whatever no other transport took.
func (overHTTP) Supports(*http.Request) bool { return true }

// Do answers a request.
func (overHTTP) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	a := answer{w: w, media: mediaType(r), exec: exec}
	params, failed := readParams(r)
	if failed != nil {
		failed.send(w, a.media)
		return
	}
	op, errs := exec.CreateOperationContext(r.Context(), params)
	if len(errs) > 0 && auth.From(r.Context()).IsNobody() && statusOf(errs) == 0 {
		unauthenticated(needsToken).send(w, a.media) // what is wrong with a document is told to those who may send it
		return
	}
	if len(errs) > 0 {
		a.refuse(r, op, errs)
		return
	}
	switch {
	case op.Operation.Operation == ast.Subscription:
		fail(http.StatusBadRequest, "BAD_USER_INPUT", "Subscriptions need a stream: use WebSocket with the subprotocol graphql-transport-ws, or server-sent events (POST with Accept: text/event-stream).").send(w, a.media)
	case r.Method == http.MethodGet && op.Operation.Operation != ast.Query:
		w.Header().Set("Allow", http.MethodPost)
		fail(http.StatusMethodNotAllowed, "BAD_USER_INPUT", "GET is for queries only. Send mutations by POST.").send(w, a.media)
	default:
		responses, ctx := exec.DispatchOperation(r.Context(), op)
		response := responses(ctx)
		status := http.StatusOK
		if refused := statusOf(response.Errors); response.Data == nil && refused != 0 {
			status = refused
		}
		a.write(status, response)
	}
}

type answer struct {
	w     http.ResponseWriter
	media string
	exec  graphql.GraphExecutor
}

// refuse answers an operation that did not begin. The older media type says 200 whatever was wrong with the document.
func (a answer) refuse(r *http.Request, op *graphql.OperationContext, errs gqlerror.List) {
	status := statusOf(errs)
	switch {
	case status != 0:
	case a.media == mediaResponse:
		status = http.StatusBadRequest
	default:
		status = http.StatusOK
	}
	a.write(status, a.exec.DispatchError(graphql.WithOperationContext(r.Context(), op), errs))
}

func (a answer) write(status int, response *graphql.Response) {
	body, err := encoded(response)
	if err != nil {
		fail(http.StatusInternalServerError, "INTERNAL", "Internal error. The server's log has the details.").send(a.w, a.media)
		return
	}
	a.w.Header().Set("Content-Type", a.media+"; charset=utf-8")
	a.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	switch status {
	case http.StatusTooManyRequests:
		a.w.Header().Set("Retry-After", "1")
	case http.StatusUnauthorized:
		a.w.Header().Set("WWW-Authenticate", "Bearer")
	}
	a.w.WriteHeader(status)
	_, _ = a.w.Write(body)
}

// encoded writes a response as encoding/json would, but takes the data as it is: it is JSON already, and to have it checked
// and copied once more cost a tenth of a large answer. An operation that did not begin has no data, not even null.
func encoded(response *graphql.Response) ([]byte, error) {
	const frame = 64
	body := make([]byte, 0, len(response.Data)+frame)
	add := func(name string, value []byte) {
		separator := byte(',')
		if len(body) == 0 {
			separator = '{'
		}
		body = append(append(append(body, separator, '"'), name...), `":`...)
		body = append(body, value...)
	}
	if len(response.Errors) > 0 || response.Data == nil {
		list, err := json.Marshal(response.Errors)
		if err != nil {
			return nil, err
		}
		add("errors", list)
	}
	if response.Data != nil {
		add("data", response.Data)
	}
	if len(response.Extensions) > 0 {
		extensions, err := json.Marshal(response.Extensions)
		if err != nil {
			return nil, err
		}
		add("extensions", extensions)
	}
	return append(body, '}'), nil
}

// failure is an answer to a request that holds no operation.
type failure struct {
	status        int
	code, message string
}

func fail(status int, code, message string) *failure { return &failure{status, code, message} }

func (f *failure) send(w http.ResponseWriter, media string) {
	answer{w: w, media: media}.write(f.status, &graphql.Response{Errors: gqlerror.List{refusal(f.code, f.message)}})
}

// mediaType chooses the answer's form; clients that do not ask for the newer one get JSON.
func mediaType(r *http.Request) string {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		media, _, err := mime.ParseMediaType(part)
		switch {
		case err != nil:
		case media == mediaResponse:
			return mediaResponse
		case media == mediaJSON:
			return mediaJSON
		}
	}
	return mediaJSON
}

func readParams(r *http.Request) (*graphql.RawParams, *failure) {
	var params *graphql.RawParams
	var refused *failure
	switch r.Method {
	case http.MethodGet:
		params, refused = fromURL(r.URL)
	case http.MethodPost:
		params, refused = fromBody(r)
	default:
		return nil, fail(http.StatusMethodNotAllowed, "BAD_USER_INPUT", "Use POST, or GET for queries.")
	}
	if refused != nil {
		return nil, refused
	}
	if strings.TrimSpace(params.Query) == "" && params.Extensions["persistedQuery"] == nil {
		return nil, fail(http.StatusBadRequest, "BAD_USER_INPUT", "The request has no query.")
	}
	params.Headers = r.Header
	return params, nil
}

func fromURL(u *url.URL) (*graphql.RawParams, *failure) {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fail(http.StatusBadRequest, "BAD_USER_INPUT", "The URL's parameters cannot be read.")
	}
	params := &graphql.RawParams{Query: values.Get("query"), OperationName: values.Get("operationName")}
	if text := values.Get("variables"); text != "" {
		if err := decode([]byte(text), &params.Variables); err != nil {
			return nil, fail(http.StatusBadRequest, "BAD_USER_INPUT", "The variables are no JSON object.")
		}
	}
	if text := values.Get("extensions"); text != "" {
		if err := decode([]byte(text), &params.Extensions); err != nil {
			return nil, fail(http.StatusBadRequest, "BAD_USER_INPUT", "The extensions are no JSON object.")
		}
	}
	return params, nil
}

func fromBody(r *http.Request) (*graphql.RawParams, *failure) {
	// A form could be sent by any page without asking first; JSON cannot.
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != mediaJSON {
		return nil, fail(http.StatusUnsupportedMediaType, "BAD_USER_INPUT", "Send the operation as application/json.")
	}
	body, refused := readBody(r)
	if refused != nil {
		return nil, refused
	}
	var params graphql.RawParams
	if err := decode(body, &params); err != nil {
		if _, wrongType := errors.AsType[*json.UnmarshalTypeError](err); wrongType {
			return nil, fail(http.StatusBadRequest, "BAD_USER_INPUT", "The body is a JSON object with query, and where needed variables and operationName.")
		}
		return nil, fail(http.StatusBadRequest, "GRAPHQL_PARSE_FAILED", "The body is no JSON.")
	}
	return &params, nil
}

func readBody(r *http.Request) ([]byte, *failure) {
	body, err := io.ReadAll(r.Body)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, fail(http.StatusRequestEntityTooLarge, "BODY_LIMIT_EXCEEDED", "The body is too large.")
	}
	if err != nil {
		return nil, fail(http.StatusBadRequest, "BAD_USER_INPUT", "The body ends too early.")
	}
	return body, nil
}

// decode reads one JSON value and nothing after it.
func decode(body []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// checkStream refuses what gqlgen's streams would answer without a code or with the body in the message.
func checkStream(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.Header.Get("Upgrade") != "":
		if !isUpgrade(r) {
			fail(http.StatusBadRequest, "BAD_USER_INPUT", "This is no request for a WebSocket (RFC 6455).").send(w, mediaJSON)
			return false
		}
		if !lists(r.Header, "Sec-WebSocket-Protocol", subprotocol) {
			fail(http.StatusBadRequest, "BAD_USER_INPUT", "The WebSocket's subprotocol is graphql-transport-ws.").send(w, mediaJSON)
			return false
		}
	case isEventStream(r):
		body, refused := readBody(r)
		if refused == nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
			_, refused = readParams(r)
		}
		if refused != nil {
			refused.send(w, mediaJSON)
			return false
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return true
}

func isEventStream(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// protocolCodes are those of operations that did not begin: over a WebSocket they are sent as an error message.
var protocolCodes = []string{
	"DEPTH_LIMIT_EXCEEDED", "ALIAS_LIMIT_EXCEEDED", "COST_LIMIT_EXCEEDED", "TOKEN_LIMIT_EXCEEDED",
	codeRateLimited, "DOCUMENT_NOT_TRUSTED", "PERSISTED_QUERY_NOT_FOUND",
}

func registerCodes() {
	for _, code := range protocolCodes {
		errcode.RegisterErrorType(code, errcode.KindProtocol)
	}
}
