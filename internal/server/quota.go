package server

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"golang.org/x/time/rate"

	"github.com/quimbi/quimbi/internal/auth"
)

// Quota bounds what one caller may ask for, over all its connections: by token, or by a provider's name for a person. All who show
// nothing share one. Whoever uses this machine while no access is set up has only the bounds on what goes on at once.
type Quota struct {
	Rate          float64 // operations a second; twice as many at once after a pause; negative: any
	Operations    int     // queries and mutations at once
	Subscriptions int     // subscriptions at once, and sockets
}

// DefaultQuota is for a busy dashboard.
var DefaultQuota = Quota{Rate: 100, Operations: 50, Subscriptions: 500}

const (
	codeRateLimited = "RATE_LIMITED"
	codeTooMany     = "TOO_MANY_OPERATIONS"
	// maxCallers is from when on callers without anything going on are forgotten; one that is has its whole rate again.
	maxCallers = 10_000
)

// quotas counts by caller.
type quotas struct {
	Quota
	mu      sync.Mutex
	callers map[string]*usage
}

// usage is what a caller does at present.
type usage struct {
	limit                              *rate.Limiter
	operations, subscriptions, sockets int
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationParameterMutator
	graphql.OperationInterceptor
	graphql.ResponseInterceptor
} = (*quotas)(nil)

func newQuotas(q Quota) *quotas { return &quotas{Quota: q, callers: map[string]*usage{}} }

// ExtensionName is for gqlgen.
func (*quotas) ExtensionName() string { return "Quotas" }

// Validate is for gqlgen.
func (*quotas) Validate(graphql.ExecutableSchema) error { return nil }

// of gives a caller's usage; the caller of it holds the lock.
func (q *quotas) of(key string) *usage {
	u := q.callers[key]
	if u != nil {
		return u
	}
	if len(q.callers) >= maxCallers {
		for key, u := range q.callers {
			if u.operations+u.subscriptions+u.sockets == 0 {
				delete(q.callers, key)
			}
		}
	}
	limit := rate.Inf
	if q.Rate >= 0 {
		limit = rate.Limit(q.Rate)
	}
	u = &usage{limit: rate.NewLimiter(limit, max(1, int(2*q.Rate)))}
	q.callers[key] = u
	return u
}

// MutateOperationParameters refuses operations that come too fast, before anything is done about them.
func (q *quotas) MutateOperationParameters(ctx context.Context, _ *graphql.RawParams) *gqlerror.Error {
	caller := auth.From(ctx)
	if caller.IsLocal() {
		return nil
	}
	q.mu.Lock()
	allowed := q.of(caller.Key).limit.Allow()
	q.mu.Unlock()
	if !allowed {
		return refusal(codeRateLimited, "Too many operations a second. Wait a moment.")
	}
	return nil
}

var errTooMany = errors.New("too many at once")

// take counts one more of a kind, and gives what takes it off again.
func (q *quotas) take(ctx context.Context, count func(*usage) (now *int, most int)) (func(), error) {
	key := auth.From(ctx).Key
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.of(key)
	now, most := count(u)
	if *now >= most {
		return nil, errTooMany
	}
	*now++
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		*now--
	}, nil
}

// InterceptOperation counts subscriptions for as long as they last.
func (q *quotas) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation != ast.Subscription {
		return next(ctx)
	}
	done, err := q.take(ctx, func(u *usage) (*int, int) { return &u.subscriptions, q.Subscriptions })
	if err != nil {
		return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{refusal(codeTooMany, "Too many subscriptions at once.")}})
	}
	context.AfterFunc(ctx, done)
	return next(ctx)
}

// socket counts a socket for as long as its context lasts.
func (q *quotas) socket(ctx context.Context) *failure {
	done, err := q.take(ctx, func(u *usage) (*int, int) { return &u.sockets, q.Subscriptions })
	if err != nil {
		return fail(http.StatusTooManyRequests, codeTooMany, "Too many sockets at once.")
	}
	context.AfterFunc(ctx, done)
	return nil
}

// InterceptResponse counts queries and mutations.
func (q *quotas) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	if !graphql.HasOperationContext(ctx) {
		return next(ctx)
	}
	if op := graphql.GetOperationContext(ctx); op.Operation == nil || op.Operation.Operation == ast.Subscription {
		return next(ctx)
	}
	done, err := q.take(ctx, func(u *usage) (*int, int) { return &u.operations, q.Operations })
	if err != nil {
		return &graphql.Response{Errors: gqlerror.List{refusal(codeTooMany, "Too many operations at once. Wait for an answer before you ask again.")}}
	}
	defer done()
	return next(ctx)
}

// statusOf gives the HTTP status of an answer without data, where its code has one in any media type; 0 elsewhere.
func statusOf(errs gqlerror.List) int {
	for _, err := range errs {
		switch err.Extensions["code"] {
		case codeRateLimited, codeTooMany:
			return http.StatusTooManyRequests
		case "UNAUTHENTICATED":
			return http.StatusUnauthorized
		}
	}
	return 0
}
