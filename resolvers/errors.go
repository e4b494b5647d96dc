package resolvers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
)

// Codes of errors that have no code in the engine.
const (
	CodeBadUserInput = "BAD_USER_INPUT"
	CodeTimeout      = "TIMEOUT"
	CodeUnavailable  = "UNAVAILABLE"
	CodeInternal     = "INTERNAL"
)

// tooManyTokens begins the parser's message, which has no code of its own.
const tooManyTokens = "exceeded token limit"

// Present turns an error into what a client may see: a code and a sentence. All else is logged and answered as INTERNAL.
func (r *Resolver) Present(ctx context.Context, err error) *gqlerror.Error {
	presented := graphql.DefaultErrorPresenter(ctx, err)
	if strings.HasPrefix(presented.Message, tooManyTokens) && presented.Err == nil {
		return &gqlerror.Error{Message: "The document has too many tokens.", Extensions: map[string]any{"code": "TOKEN_LIMIT_EXCEEDED"}}
	}
	if code, _ := presented.Extensions["code"].(string); code != "" && presented.Err == nil {
		return named(presented) // made here or by the parser, with a code
	}
	code, message := r.codeOf(ctx, err)
	return &gqlerror.Error{Message: message, Path: presented.Path, Locations: presented.Locations, Extensions: map[string]any{"code": code}}
}

// named puts the place of a faulty variable into the message: the path of an error is that of an answer.
func named(err *gqlerror.Error) *gqlerror.Error {
	if len(err.Path) < 2 || err.Path[0] != ast.PathName("variable") {
		return err
	}
	return &gqlerror.Error{Message: "Variable $" + err.Path[1:].String() + " " + err.Message + ".", Extensions: err.Extensions}
}

func (r *Resolver) codeOf(ctx context.Context, err error) (code, message string) {
	if known, ok := errors.AsType[*engine.Error](err); ok {
		switch known.Code {
		case engine.CodeNotFound, engine.CodeForbidden, engine.CodeUnauthenticated, engine.CodeUnavailable:
			return string(known.Code), known.Message
		case engine.CodeInternal:
		default:
			return CodeBadUserInput, known.Message
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), postgres.TimedOut(err):
		return CodeTimeout, "The operation took too long. Ask for less at a time."
	case errors.Is(err, context.Canceled):
		return CodeUnavailable, "The request was given up, or the server is ending."
	case postgres.IsUnavailable(err):
		r.Log.ErrorContext(ctx, "the database cannot be used", slog.Any("error", err))
		message := postgres.Outage(err).Message
		return CodeUnavailable, strings.ToUpper(message[:1]) + message[1:] + "."
	}
	r.Log.ErrorContext(ctx, "a field failed", slog.Any("error", err))
	return CodeInternal, "Internal error. The server's log has the details."
}

// Recover turns a panic into an error, with its stack in the log.
func (r *Resolver) Recover(ctx context.Context, fault any) error {
	r.Log.ErrorContext(ctx, "a field panicked", slog.String("fault", fmt.Sprint(fault)), slog.String("stack", string(debug.Stack())))
	return &gqlerror.Error{Message: "Internal error. The server's log has the details.", Extensions: map[string]any{"code": CodeInternal}}
}

// userErrors turns a fault that the caller can correct into the payload's errors. What it cannot correct is given back.
func (r *Resolver) userErrors(ctx context.Context, err error, key string) ([]model.UserError, error) {
	if err == nil {
		return []model.UserError{}, nil
	}
	known, ok := errors.AsType[*engine.Error](err)
	if !ok {
		return nil, err
	}
	switch known.Code {
	case engine.CodeInvalid, engine.CodeConflict:
		message := known.Message
		if known.RunID != "" { // of an idempotency key
			run, err := r.DB.Run(ctx, known.RunID)
			if err != nil {
				return nil, err
			}
			message += "; it has started run " + model.ID{Kind: model.KindRun, Store: run.StoreID, Run: run.ID}.String()
		}
		return []model.UserError{&model.InvalidInputError{Message: message, Code: model.UserErrorCodeInvalid, Field: known.Field, Rule: known.Message}}, nil
	case engine.CodeNotFound:
		return []model.UserError{&model.NotFoundError{Message: known.Message, Code: model.UserErrorCodeNotFound, Field: known.Field, Key: key}}, nil
	case engine.CodeInsufficientData:
		return []model.UserError{&model.InsufficientDataError{Message: known.Message, Code: model.UserErrorCodeInsufficientData, Field: known.Field}}, nil
	case engine.CodeFeatureDisabled:
		return []model.UserError{&model.FeatureDisabledError{Message: known.Message, Code: model.UserErrorCodeFeatureDisabled, Field: known.Field, Setting: "ENABLE_TEMPORAL_SNAPSHOTS"}}, nil
	case engine.CodeRunInProgress, engine.CodeRunFinished:
		run, loadErr := r.runByUUID(ctx, known.RunID)
		if loadErr != nil {
			return nil, loadErr
		}
		if known.Code == engine.CodeRunFinished {
			return []model.UserError{&model.RunFinishedError{Message: known.Message, Code: model.UserErrorCodeRunFinished, Field: known.Field, Run: run}}, nil
		}
		return []model.UserError{&model.RunInProgressError{Message: known.Message, Code: model.UserErrorCodeRunInProgress, Field: known.Field, Run: run}}, nil
	}
	return nil, err
}
