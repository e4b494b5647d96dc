//go:build linux || darwin

package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// graceAfterCrash is how long the remains of a killed server (processes
	// that have not noticed yet) may keep a new one from starting.
	graceAfterCrash = 30 * time.Second

	// unreachableAfter is how long a live server may go without a socket.
	unreachableAfter = 30 * time.Second

	// quietStart is how long a start takes before it is worth a line.
	quietStart = time.Second
)

// SQLSTATE codes that are part of a start.
const (
	codeCannotConnectNow = "57P03" // starting, recovering or shutting down
	codeNoSuchDatabase   = "3D000"
	codeDuplicate        = "42P04"
)

// Server is a private Postgres in use by this process.
type Server struct {
	options Options
	logger  *slog.Logger
	layout  layout
	who     account
	gate    *fileLock // held while starting or stopping
	users   *fileLock // held shared while in use

	socketDir string
	port      int

	closeOnce sync.Once
	closeErr  error
}

// Start attaches to the private server of the data folder, or makes the folder
// and starts the server, and returns once it accepts connections. It waits,
// with progress, for a server that recovers after a crash. The caller must
// call Close. Errors match [ErrNotFound] and [ErrOtherVersion] where they
// apply; no data is ever deleted.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l, who, err := settle(o.DataDir)
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, logger: o.Logger, layout: l, who: who}
	if s.gate, err = openLock(l.gateLock(), who); err != nil {
		return nil, err
	}
	if s.users, err = openLock(l.usersLock(), who); err != nil {
		s.gate.release()
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		// A server that came up only halfway is asked to stop, not waited for:
		// what matters to the caller is the first error.
		gone, cancel := context.WithCancel(ctx)
		cancel()
		_ = s.leave(gone)
		return nil, err
	}
	return s, nil
}

// URL returns the connection string of the server's database.
func (s *Server) URL() string { return connString(s.socketDir, s.port, databaseName) }

// LogFile returns the file that the server writes its messages to.
func (s *Server) LogFile() string { return s.layout.logFile() }

// Folder returns the folder that holds the server's files.
func (s *Server) Folder() string { return s.layout.home }

// Close gives up the server; the last one to leave stops it and waits until it
// is gone, as long as ctx lasts. Closing twice does nothing more.
func (s *Server) Close(ctx context.Context) error {
	s.closeOnce.Do(func() { s.closeErr = s.leave(ctx) })
	return s.closeErr
}

// enter takes the shared lock and brings the server up, alone at the gate, so
// that of two commands one starts the server and the other finds it running.
func (s *Server) enter(ctx context.Context) error {
	err := s.gate.take(ctx, syscall.LOCK_EX, func() {
		s.options.progress("waiting for another command that starts or stops the private Postgres")
	})
	if err != nil {
		return err
	}
	defer s.openGate()
	// Whoever asks for this lock alone stands at the gate, so this never waits.
	if err := s.users.take(ctx, syscall.LOCK_SH, func() {}); err != nil {
		return err
	}
	return s.bringUp(ctx)
}

func (s *Server) leave(ctx context.Context) error {
	defer s.gate.release()
	defer s.users.release()
	err := s.gate.take(ctx, syscall.LOCK_EX, func() {})
	if err != nil {
		return err
	}
	last, err := s.users.try(syscall.LOCK_EX)
	if err != nil || !last {
		return err
	}
	return s.stop(ctx)
}

func (s *Server) openGate() {
	// Only a file that is not open could fail here.
	_ = syscall.Flock(int(s.gate.file.Fd()), syscall.LOCK_UN)
}

// stop asks the server for a fast shutdown: transactions are rolled back,
// connections closed, a checkpoint written.
func (s *Server) stop(ctx context.Context) error {
	pm, ok := running(s.layout)
	if !ok {
		return nil
	}
	if err := syscall.Kill(pm.pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping the private Postgres (process %d): %w", pm.pid, err)
	}
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for alive(pm.pid) {
		if _, ok := running(s.layout); !ok {
			break // it has left its folder; who buries the process does not matter
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the private Postgres to stop: %w", ctx.Err())
		case <-ticker.C:
		}
	}
	s.logger.Debug("private Postgres stopped", "pid", pm.pid)
	return nil
}

// attempt is one server process that this command has started.
type attempt struct {
	pid       int
	logOffset int64 // where its messages begin in the log file
}

// bringUp brings the server to accept connections, whatever state the folder
// is in. It looks at the facts again on every turn: a server found shutting
// down ends and is started anew, one that recovers is waited for.
func (s *Server) bringUp(ctx context.Context) error {
	var (
		started     *attempt
		begin       = time.Now()
		unreachable = time.Now()
		said        string
	)
	tell := func(message string) {
		if message != said {
			said = message
			s.options.progress(message)
		}
	}
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		pm, live := running(s.layout)
		switch {
		case live && pm.socketDir != "":
			s.socketDir, s.port = pm.socketDir, pm.port
			err := s.probe(ctx)
			if err == nil {
				s.logger.Debug("private Postgres ready", "pid", pm.pid, "started", started != nil, "folder", s.layout.home, "took", time.Since(begin))
				return nil
			}
			message, wait := worthWaiting(err)
			if !wait {
				return fmt.Errorf("connecting to the private Postgres in %s: %w", s.layout.home, err)
			}
			if message != "" {
				unreachable = time.Now()
				if time.Since(begin) > quietStart {
					tell("waiting for Postgres: " + message)
				}
			} else if time.Since(unreachable) > unreachableAfter {
				return fmt.Errorf("the private Postgres (process %d) runs but its socket in %s does not answer: %w. Stop it with kill -INT %d and try again", pm.pid, pm.socketDir, err, pm.pid)
			}
		case live:
			// It has not opened its socket yet.
		case started == nil:
			a, err := s.launch(ctx)
			if err != nil {
				return err
			}
			started, unreachable = a, time.Now()
		case !alive(started.pid):
			lines := s.logSince(started.logOffset)
			if !leftovers(lines) || time.Since(begin) > graceAfterCrash {
				return fmt.Errorf("the private Postgres did not start. The end of its log %s:\n%s", s.layout.logFile(), lines)
			}
			tell("waiting for the remains of a killed Postgres to end")
			started = nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the private Postgres: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// probe connects once; the database is made if the start that should have
// made it was interrupted, or is the first.
func (s *Server) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL())
	if code(err) == codeNoSuchDatabase {
		conn, err = pgx.Connect(ctx, connString(s.socketDir, s.port, "postgres"))
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "CREATE DATABASE "+databaseName)
		if code(err) == codeDuplicate {
			return nil
		}
		return err
	}
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// worthWaiting tells whether a failed connection may succeed later, and what
// the server said if it answered at all.
func worthWaiting(err error) (message string, wait bool) {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Message, pgErr.Code == codeCannotConnectNow
	}
	// A socket that is not there yet, or of a server that just ended.
	return "", errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, fs.ErrNotExist) || pgconn.Timeout(err) ||
		strings.Contains(err.Error(), "EOF")
}

// leftovers tells whether a server gave up because of one that was killed:
// its last processes still use the shared memory, or another start is faster.
func leftovers(log string) bool {
	return strings.Contains(log, "is still in use") ||
		strings.Contains(log, "lock file") && (strings.Contains(log, "already exists") || strings.Contains(log, "is empty"))
}

// dataVersion returns the major version that made the data folder, 0 if there
// is none.
func dataVersion(l layout) (int, error) {
	content, err := os.ReadFile(l.versionOf())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the version of the data folder: %w", err)
	}
	text := strings.TrimSpace(string(content))
	version, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("the file %s should hold a version number but holds %q: the data folder is damaged, restore it or set QUIMBI_DATA_DIR to another one", l.versionOf(), text)
	}
	return version, nil
}
