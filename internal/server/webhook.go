package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// Webhooks is what the endpoint for shops needs.
type Webhooks struct {
	// Secrets are those of the stores, by key; a store without one has no endpoint. Of several any will do, so that a
	// secret can be changed.
	Secrets map[string][]Secret
	// Receive keeps an event whose origin was checked.
	Receive func(ctx context.Context, e jobs.ShopEvent) (jobs.EventOutcome, error)
}

// Secret is what a shop signs its messages with. It does not show itself in logs.
type Secret string

// String hides it.
func (Secret) String() string { return "[secret]" }

// GoString hides it.
func (Secret) GoString() string { return "[secret]" }

// LogValue hides it.
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalText hides it.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

const (
	// webhookBytes bounds a message; Shopify's largest orders have some hundred kilobytes.
	webhookBytes = 2 << 20
	// webhookTime is how long a message may take to arrive and to be kept. Shopify itself waits five seconds.
	webhookTime = 5 * time.Second
	// webhookPath begins the endpoints that answer under any host name: they trust no one who has not the secret.
	webhookPath = "/webhooks/"
)

// receipt is the answer to a message.
type receipt struct {
	Outcome jobs.EventOutcome `json:"outcome"`
}

// shopify takes messages of Shopify's webhooks: POST /webhooks/shopify/{store}.
func (s *Server) shopify(w http.ResponseWriter, r *http.Request) {
	store := r.PathValue("store")
	secrets := s.config.Webhooks.Secrets[store]
	if len(secrets) == 0 {
		fail(http.StatusNotFound, "NOT_FOUND", "There is no endpoint for this store.").send(w, mediaJSON)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), webhookTime)
	defer cancel()
	defer s.expectBody(w, r, webhookBytes, webhookTime)()
	body, refused := readBody(r)
	if refused != nil {
		refused.send(w, mediaJSON)
		return
	}
	if !signed(body, r.Header.Get("X-Shopify-Hmac-SHA256"), secrets) {
		fail(http.StatusUnauthorized, "UNAUTHENTICATED", "X-Shopify-Hmac-SHA256 is not this body's signature with the store's secret.").send(w, mediaJSON)
		return
	}
	topic := r.Header.Get("X-Shopify-Topic")
	delivery := r.Header.Get("X-Shopify-Webhook-Id")
	if event := r.Header.Get("X-Shopify-Event-Id"); delivery == "" && event != "" {
		delivery = topic + " " + event // one event may be told under several topics
	}
	outcome, err := s.config.Webhooks.Receive(ctx, jobs.ShopEvent{StoreKey: store, Topic: topic, Delivery: delivery, Body: body})
	if err != nil {
		s.refuseEvent(ctx, err).send(w, mediaJSON)
		return
	}
	w.Header().Set("Content-Type", mediaJSON+"; charset=utf-8")
	_ = json.NewEncoder(w).Encode(receipt{outcome}) // whoever has gone will ask again
}

// signed tells whether a signature is that of the body under one of the secrets: the HMAC by SHA-256, in base64.
func signed(body []byte, signature string, secrets []Secret) bool {
	given, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return false
	}
	ok := false
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		ok = hmac.Equal(mac.Sum(nil), given) || ok
	}
	return ok
}

// refuseEvent tells a shop what it can do about a fault; what is none of its own it sends again later.
func (s *Server) refuseEvent(ctx context.Context, err error) *failure {
	switch engine.CodeOf(err) {
	case engine.CodeInvalid:
		return fail(http.StatusBadRequest, "BAD_USER_INPUT", err.Error())
	case engine.CodeNotFound:
		return fail(http.StatusNotFound, "NOT_FOUND", err.Error())
	}
	s.config.Log.ErrorContext(ctx, "a shop's event could not be kept", slog.Any("error", err))
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || postgres.IsUnavailable(err) {
		return fail(http.StatusServiceUnavailable, "UNAVAILABLE", "The event cannot be kept at the moment. Send it again.")
	}
	return fail(http.StatusInternalServerError, "INTERNAL", "Internal error. The server's log has the details.")
}
