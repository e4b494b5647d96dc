package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/events"
	"github.com/quimbi/quimbi/internal/obs"
	"github.com/quimbi/quimbi/internal/server"
	"github.com/quimbi/quimbi/jobs"
	"github.com/quimbi/quimbi/resolvers"
	"github.com/quimbi/quimbi/web"
)

// Listen is the address of the server.
type Listen struct {
	Listen string `env:"LISTEN_ADDR" default:"127.0.0.1:8080" placeholder:"ADDRESS" help:"Where to serve. Other addresses than those of this machine alone need access tokens or a provider of them."`
}

// WebhookSecrets is the file with what shops sign their messages with.
type WebhookSecrets struct {
	WebhookSecrets string `env:"WEBHOOK_SECRETS_FILE" placeholder:"FILE" help:"Secrets of shops that send order events to /webhooks/shopify/STORE: a line each, STORE and SECRET."`
}

type serveCommand struct {
	Settings
	Listen
	WebhookSecrets
	AccessSettings
	LimitSettings
	NoJobs   bool `xor:"jobs" help:"Only serve; others do the work."`
	OnlyJobs bool `xor:"jobs" help:"Only do the work; others serve."`
}

// Run serves until it is stopped.
func (c *serveCommand) Run(a *app) (err error) {
	a.log = a.logger(slog.LevelInfo)
	if a.traces, err = obs.NewTraces(a.ctx, a.env["OTEL_EXPORTER_OTLP_ENDPOINT"], version()); err != nil {
		return err
	}
	defer a.closeTraces()
	secrets, err := c.read()
	if err != nil {
		return err
	}
	var config server.Config
	if err := errors.Join(c.check(), c.put(&config)); err != nil {
		return err
	}
	var listener net.Listener
	if !c.OnlyJobs {
		if listener, err = c.open(a.ctx); err != nil {
			return err
		}
		defer listener.Close()
	}
	o, err := a.office(&c.Settings)
	if err != nil {
		return err
	}
	defer closing(o, &err)
	config.Origins, config.Webhooks = c.CORSOrigins, server.Webhooks{Secrets: secrets, Receive: o.queue.ReceiveShopify}
	s := serving{listener: listener, work: !c.NoJobs, config: config}
	if listener != nil {
		if s.config.Access, err = a.access(o, c.AccessSettings, listener); err != nil {
			return err
		}
	}
	return a.serve(o, s)
}

// closeTraces sends what is left. A collector that is gone is no failure of the program.
func (a *app) closeTraces() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), traceTime)
	defer cancel()
	if err := a.traces.Close(ctx); err != nil {
		a.log.Warn("the last traces could not be sent", slog.Any("error", err))
	}
}

// traceTime is how long the last traces may take to be sent.
const traceTime = 3 * time.Second

// minSecret is how short a secret may be.
const minSecret = 16

// read gives the secrets by store; none without a file. A store may have several.
func (c *WebhookSecrets) read() (map[string][]server.Secret, error) {
	if c.WebhookSecrets == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.WebhookSecrets)
	if err != nil {
		return nil, cannotOpen(c.WebhookSecrets, err)
	}
	secrets := map[string][]server.Secret{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		// A store's key may hold blanks, a secret does not. Neither is shown: they could stand the wrong way round.
		at := strings.LastIndexAny(line, " \t")
		if at < 0 {
			return nil, engine.Errorf(engine.CodeInvalid, "line %d of %s must be a store's key and its secret, with a blank between", number, c.WebhookSecrets)
		}
		store, secret := strings.TrimSpace(line[:at]), line[at+1:]
		if len(secret) < minSecret {
			return nil, engine.Errorf(engine.CodeInvalid, "the secret in line %d of %s is shorter than %d bytes, which could be guessed", number, c.WebhookSecrets, minSecret)
		}
		secrets[store] = append(secrets[store], server.Secret(secret))
	}
	return secrets, nil
}

// open takes the address; nothing is answered yet.
func (l Listen) open(ctx context.Context) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(l.Listen); err != nil {
		return nil, engine.Errorf(engine.CodeInvalid, "LISTEN_ADDR must look like 127.0.0.1:8080, is %q", l.Listen)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", l.Listen)
	if err != nil {
		if failed, ok := errors.AsType[*net.OpError](err); ok {
			err = failed.Err
		}
		return nil, engine.Errorf(engine.CodeConflict, "%s cannot be served (%s): choose another address with --listen", l.Listen, err)
	}
	return listener, nil
}

// serving is what serve does.
type serving struct {
	listener net.Listener  // nil: no API
	config   server.Config // of the API; Log and Resolver are set by serve
	work     bool          // whether the scheduled work is done
}

// serve answers and works until the program is stopped: that is no failure.
func (a *app) serve(o *office, s serving) error {
	tuneMemory(a.env)
	group, ctx := errgroup.WithContext(a.ctx)
	next := func(*engine.Store) time.Time { return time.Time{} }
	if s.work {
		service, err := jobs.NewService(o.queue)
		if err != nil {
			return err
		}
		next = service.NextSnapshot
		group.Go(func() error { return service.Run(ctx) })
	}
	if s.listener != nil {
		hub := events.NewHub(o.db, a.log)
		s.config.Log, s.config.Traces, s.config.Resolver = a.log, a.traces, &resolvers.Resolver{
			DB: o.db, Jobs: o.queue, Events: hub, Models: resolvers.NewModels(o.db), Params: o.settings.Params, Log: a.log, Now: a.now, Version: version(),
			SnapshotsEnabled: o.settings.Snapshots, Retention: o.settings.Retention, Predicts: o.settings.Prediction, AnomalyThreshold: o.settings.AnomalyThreshold,
			DriftLevel: o.settings.DriftLevel, NextSnapshot: next,
		}
		api := server.New(s.config)
		group.Go(func() error { return hub.Run(ctx) })
		group.Go(func() error { return api.Serve(ctx, s.listener) })
		a.say("Serving http://%s/explorer/ (GraphQL at /graphql); Ctrl-C ends it.", s.listener.Addr())
		if _, built := web.Explorer(); !built {
			a.say("The explorer's files are not built in: its page loads them from the network. Run make web to build them in.")
		}
	}
	err := group.Wait()
	if a.ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return info.Main.Version + " " + s.Value
		}
	}
	return info.Main.Version
}
