// Package cli holds the commands and wires everything together.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/localpg"
	"github.com/quimbi/quimbi/internal/obs"
	"github.com/quimbi/quimbi/internal/postgres"
)

// The exit codes, as the README lists them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitUnavailable = 5
	exitInterrupted = 130
)

// commands is the whole command line: flags, environment, help and defaults.
type commands struct {
	Global

	Demo      demoCommand      `cmd:"" help:"Make a believable shop, from orders to drift, and serve it."`
	Serve     serveCommand     `cmd:"" help:"Serve the API and do the scheduled work."`
	Migrate   migrateCommand   `cmd:"" help:"Bring the database's schema up to date, back a step, or list the steps."`
	Import    importCommand    `cmd:"" help:"Import order files into a store."`
	Export    exportCommand    `cmd:"" help:"Write the orders of a store as a file that import reads back."`
	Recluster reclusterCommand `cmd:"" help:"Fit a new model of a store's customers."`
	Segments  segmentsCommand  `cmd:"" help:"List the segments of a store's customers, down to the leaves."`
	Snapshot  snapshotCommand  `cmd:"" help:"Take a snapshot of all customers of a store."`
	Replay    replayCommand    `cmd:"" help:"Take the snapshots of a time that has passed."`
	Store     storeCommand     `cmd:"" help:"List stores, show one, or change what is set for it."`
	Customer  customerCommand  `cmd:"" help:"Export or erase everything that is stored about one customer."`
	Drift     driftCommand     `cmd:"" help:"List who moved between segments, or export it."`
	Explain   explainCommand   `cmd:"" help:"Tell why a customer stands where it does, and what would move it."`
	Token     tokenCommand     `cmd:"" help:"Make, list and revoke the tokens by which others use the API."`
	Cleanup   cleanupCommand   `cmd:"" help:"Remove the snapshots that are older than retention keeps."`
	Models    modelsCommand    `cmd:"" help:"Fit purchase and spend models of a store's customers, and predict with them."`
	Backtest  backtestCommand  `cmd:"" help:"Measure how early and how surely churn was seen in a store's own past."`
	Cluster   clusterCommand   `cmd:"" help:"Cluster a file of numbers by fuzzy c-means; no database is needed."`
	Doctor    doctorCommand    `cmd:"" help:"Check whether everything that is needed is there."`
	Schema    schemaCommand    `cmd:"" help:"Print the schema of the API, for tools that make client code; no database is needed."`
}

// Global are the flags of every command.
type Global struct {
	JSON        bool   `name:"json" help:"Print one JSON object on standard output and nothing else."`
	Verbose     bool   `help:"Log what happens on standard error."`
	DatabaseURL string `env:"DATABASE_URL" placeholder:"URL" help:"The Postgres to use; without it a private one is started."`
	PGBin       string `name:"pg-bin" env:"PG_BIN" placeholder:"FOLDER" help:"Where Postgres's programs are; without it the usual places are searched."`
	DataDir     string `env:"QUIMBI_DATA_DIR" placeholder:"FOLDER" help:"Where the private Postgres keeps its files; the user's data folder unless set."`
}

// app is what a command works with.
type app struct {
	Global
	ctx    context.Context
	env    map[string]string
	in     io.Reader
	out    io.Writer
	errOut io.Writer
	log    *slog.Logger
	now    func() time.Time
	traces *obs.Traces // nil: none
}

// Main runs the program and gives its exit code.
func Main(args, environ []string, in io.Reader, out, errOut io.Writer) int {
	signalled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A context of its own, since the one of signals ends with a cause that is not context.Canceled.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	context.AfterFunc(signalled, func() {
		stop() // a second signal ends the program at once
		cancel()
	})
	return run(ctx, args, environ, in, out, errOut)
}

func run(ctx context.Context, args, environ []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{ctx: ctx, env: environment(environ), in: in, out: out, errOut: errOut, now: time.Now}
	a.JSON = slices.Contains(args, "--json")
	var c commands
	helped := false
	parser, err := kong.New(&c,
		kong.Name("quimbi"),
		kong.Description("Sorts a shop's customers by how they buy and tells when they change."),
		kong.Writers(out, errOut),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ValueFormatter(withVariable),
		kong.Resolvers(kong.ResolverFunc(a.variable)),
	)
	if err != nil {
		return a.fail(err)
	}
	if err := takeVariables(parser); err != nil {
		return a.fail(err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		return a.fail(engine.Errorf(engine.CodeInvalid, "%s; see quimbi --help", err))
	}
	a.Global = c.Global
	a.log = a.logger(slog.LevelWarn)
	if err := parsed.Run(a); err != nil {
		return a.fail(err)
	}
	return exitOK
}

func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			env[name] = value
		}
	}
	return env
}

// takeVariables leaves kong the names of environment variables for its help alone: values come from the environment that
// Main was given, and one that is set to nothing counts as not set.
func takeVariables(parser *kong.Kong) error {
	return kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			flag.Tag.Envs = nil
		}
		return next(nil)
	})
}

func (a *app) variable(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if value := strings.TrimSpace(a.env[name]); value != "" {
			return value, nil
		}
	}
	return nil, nil
}

func withVariable(value *kong.Value) string {
	if value.Flag == nil || len(value.Flag.Envs) == 0 {
		return value.Help
	}
	return value.Help + " ($" + strings.Join(value.Flag.Envs, ", $") + ")"
}

func (a *app) logger(level slog.Level) *slog.Logger {
	if a.Verbose {
		level = slog.LevelDebug
	}
	options := &slog.HandlerOptions{Level: level}
	if isTerminal(a.errOut) {
		return slog.New(slog.NewTextHandler(a.errOut, options))
	}
	return slog.New(slog.NewJSONHandler(a.errOut, options))
}

// print writes what came out: an object, or the sentences for people.
func (a *app) print(object any, sentences func(w io.Writer)) error {
	if !a.JSON {
		sentences(a.out)
		return nil
	}
	encoder := json.NewEncoder(a.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(object)
}

// say tells people what goes on; programs do not hear it.
func (a *app) say(format string, args ...any) {
	if !a.JSON {
		fmt.Fprintf(a.errOut, format+"\n", args...)
	}
}

type failure struct {
	Code    engine.Code `json:"code"`
	Message string      `json:"message"`
	RunID   string      `json:"run_id,omitempty"`
}

// codeInterrupted is the command line's own: somebody stopped the program.
const codeInterrupted engine.Code = "INTERRUPTED"

// quiet ends a command with a failure that was printed already.
type quiet int

func (q quiet) Error() string { return fmt.Sprintf("exit code %d", int(q)) }

// fail tells about an error and gives the exit code.
func (a *app) fail(err error) int {
	if q, ok := errors.AsType[quiet](err); ok {
		return int(q)
	}
	f := a.explain(err)
	if a.JSON {
		if err := json.NewEncoder(a.out).Encode(map[string]failure{"error": f}); err != nil {
			fmt.Fprintln(a.errOut, "quimbi:", err)
		}
	} else {
		fmt.Fprintln(a.errOut, "quimbi:", f.Message)
	}
	return exitCode(f.Code)
}

func (a *app) explain(err error) failure {
	if a.ctx.Err() != nil {
		return failure{Code: codeInterrupted, Message: "stopped before it was done"}
	}
	if known, ok := errors.AsType[*engine.Error](err); ok {
		return failure{Code: known.Code, Message: known.Message, RunID: known.RunID}
	}
	f := failure{Code: engine.CodeInternal, Message: err.Error()}
	switch {
	case errors.Is(err, postgres.ErrRunOver):
		f = failure{Code: engine.CodeConflict, Message: "the run was cancelled"}
	case errors.Is(err, localpg.ErrNotFound):
		f.Code = engine.CodeUnavailable
	case postgres.IsUnavailable(err):
		f = failure{Code: engine.CodeUnavailable, Message: postgres.Outage(err).Message}
	case errors.Is(err, localpg.ErrOtherVersion):
		f.Code = engine.CodeConflict
	case errors.Is(err, fs.ErrNotExist):
		f.Code = engine.CodeNotFound
	}
	return f
}

func exitCode(code engine.Code) int {
	switch code {
	case engine.CodeInvalid:
		return exitUsage
	case engine.CodeNotFound:
		return exitNotFound
	case engine.CodeConflict, engine.CodeRunInProgress, engine.CodeRunFinished:
		return exitConflict
	case engine.CodeUnavailable:
		return exitUnavailable
	case codeInterrupted:
		return exitInterrupted
	default:
		return exitFailure
	}
}

// day is a flag that holds a date; unset it is nil.
func day(text, flag string) (*engine.Date, error) {
	if text == "" {
		return nil, nil
	}
	date, err := engine.ParseDate(text)
	if err != nil {
		return nil, engine.Errorf(engine.CodeInvalid, "--%s must be a date such as 2026-01-31, is %q", flag, text)
	}
	return &date, nil
}

// orNil makes null of a value that is zero.
func orNil[T any](value T) *T {
	if reflect.ValueOf(&value).Elem().IsZero() {
		return nil
	}
	return &value
}
