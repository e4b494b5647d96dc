package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/localpg"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// session is an open database.
type session struct {
	db     *postgres.DB
	server *localpg.Server // nil: somebody else's server
}

// maxConns is how many connections a command needs at most: two for each worker, and some for holds, for calls that import
// orders, and for listening.
func maxConns() int { return max(16, 2*runtime.GOMAXPROCS(0)+12) }

// closeTimeout bounds how long a private server may take to stop.
const closeTimeout = 30 * time.Second

// connect opens the database that is set, or starts the private one.
func (a *app) connect() (*session, error) {
	if a.DatabaseURL != "" {
		db, err := postgres.Open(a.ctx, a.DatabaseURL, maxConns(), a.traces.Provider())
		if err != nil {
			return nil, err
		}
		return &session{db: db}, nil
	}
	folder, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	server, err := localpg.Start(a.ctx, localpg.Options{
		DataDir: folder, PGBin: a.PGBin, Logger: a.log, Progress: func(message string) { a.say("%s", message) },
	})
	if err != nil {
		return nil, err
	}
	s := &session{server: server}
	if s.db, err = postgres.Open(a.ctx, server.URL(), maxConns(), a.traces.Provider()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// open connects and sees to it that the schema is there. A private database is always brought up to date; one of somebody
// else's only when it is empty, since others may use it with an older program.
func (a *app) open() (*session, error) {
	s, err := a.connect()
	if err != nil {
		return nil, err
	}
	if err := a.prepare(s); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (a *app) prepare(s *session) error {
	if s.server == nil {
		steps, err := s.db.Migrations(a.ctx, a.log)
		if err != nil {
			return err
		}
		applied := func(m postgres.Migration) bool { return m.Applied }
		missing := func(m postgres.Migration) bool { return !m.Applied }
		if slices.ContainsFunc(steps, applied) {
			if slices.ContainsFunc(steps, missing) {
				return engine.Errorf(engine.CodeConflict, "the database's schema is older than this program: run quimbi migrate up")
			}
			return nil
		}
	}
	return s.db.Migrate(a.ctx, a.log)
}

func (s *session) close() error {
	if s.db != nil {
		s.db.Close()
	}
	if s.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return s.server.Close(ctx)
}

// dataDir is the folder of the private server: the variable's, else the user's folder for data.
func (a *app) dataDir() (string, error) {
	if a.DataDir != "" {
		return filepath.Abs(a.DataDir)
	}
	if folder := a.env["XDG_DATA_HOME"]; filepath.IsAbs(folder) {
		return filepath.Join(folder, "quimbi"), nil
	}
	home := a.env["HOME"]
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return "", engine.Errorf(engine.CodeInvalid, "there is no home folder: set QUIMBI_DATA_DIR to where the database may keep its files")
		}
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "quimbi"), nil
	}
	return filepath.Join(home, ".local", "share", "quimbi"), nil
}

// office is a database with those who work on it.
type office struct {
	*session
	settings jobs.Settings
	runner   *jobs.Runner
	queue    *jobs.Queue
}

// office opens the database for a command that does work. Runs that died with their process are closed first.
func (a *app) office(s *Settings) (*office, error) {
	settings, err := s.jobs()
	if err != nil {
		return nil, err
	}
	return a.officeWith(settings)
}

func (a *app) officeWith(settings jobs.Settings) (*office, error) {
	open, err := a.open()
	if err != nil {
		return nil, err
	}
	o := &office{session: open, settings: settings, runner: jobs.NewRunner(open.db, settings, a.log, a.now)}
	if o.queue, err = jobs.NewQueue(open.db, settings, a.log, a.now); err == nil {
		err = o.queue.Reap(a.ctx)
	}
	if err != nil {
		return nil, errors.Join(err, open.close())
	}
	return o, nil
}

// work does a run in this process with a bar of progress, and gives it as it ended.
func (a *app) work(o *office, run *engine.Run, title string) (*engine.Run, error) {
	bar := a.bar(title)
	err := o.runner.Work(a.ctx, run, bar.follow)
	bar.end()
	if err != nil {
		return nil, err
	}
	ended, err := o.db.Run(a.ctx, run.ID)
	if err != nil {
		return nil, err
	}
	if ended.State != engine.RunSucceeded {
		return nil, engine.Errorf(engine.CodeConflict, "the run ended as %s: %s", ended.State, ended.Failure)
	}
	return ended, nil
}

// closing ends a session and keeps the first error.
func closing(s io.Closer, err *error) {
	if closeErr := s.Close(); *err == nil {
		*err = closeErr
	}
}

// Close lets go of the database.
func (s *session) Close() error { return s.close() }

func seconds(since time.Time, now time.Time) float64 {
	return float64(now.Sub(since).Round(time.Millisecond)) / float64(time.Second)
}
