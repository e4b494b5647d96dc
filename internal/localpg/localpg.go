// Package localpg runs a private Postgres from the binaries installed on this
// machine, for people and tests that name no database of their own.
//
// The server listens on a Unix socket only, keeps its files in a private
// folder and belongs to nobody in particular: every command that uses it holds
// a shared lock on the folder, and the last one to leave stops it. A command
// that is killed leaves the server running; the next command attaches to it
// and, being the last, stops it.
package localpg

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
)

// MinVersion is the oldest major version of Postgres that is used.
const MinVersion = 15

// The only role and the only database of a private server.
const (
	roleName     = "quimbi"
	databaseName = "quimbi"
)

// socketPort is part of the socket's file name; nothing listens on TCP.
const socketPort = 5432

var (
	// ErrNotFound is matched by the error that lists the places where no
	// usable Postgres was found.
	ErrNotFound = errors.New("no usable Postgres found")

	// ErrOtherVersion is matched by the error that refuses to open a data
	// folder made by a major version of Postgres that is not installed.
	ErrOtherVersion = errors.New("the data folder belongs to another version of Postgres")
)

// Options say where a private server lives and how it is run.
type Options struct {
	// DataDir is the private folder of the program, for example
	// ~/.local/share/quimbi. The server's files lie in DataDir/postgres. When
	// the caller is root and the server's account cannot reach that folder,
	// they lie in /var/lib/quimbi-<hash of DataDir> (macOS: /var/db) instead,
	// which is the same folder for every command.
	DataDir string

	// PGBin, if not empty, is the only folder where binaries are looked for.
	PGBin string

	// Logger may be nil.
	Logger *slog.Logger

	// Progress, if not nil, receives a short sentence whenever the caller has
	// to wait for something new.
	Progress func(message string)

	// Extra settings for the server, each as "name=value". With fsync=off
	// creating the data folder does not wait for the disk either.
	Extra []string
}

// Validate reports what is missing or malformed.
func (o Options) Validate() error {
	var errs []error
	if o.DataDir == "" {
		errs = append(errs, errors.New("the data folder of the private Postgres is not set: set QUIMBI_DATA_DIR"))
	}
	for _, s := range o.Extra {
		if name, _, ok := strings.Cut(s, "="); !ok || name == "" {
			errs = append(errs, fmt.Errorf("the Postgres setting %q must have the form name=value", s))
		}
	}
	return errors.Join(errs...)
}

func (o Options) progress(message string) {
	if o.Progress != nil {
		o.Progress(message)
	}
}

func (o Options) has(setting string) bool {
	for _, s := range o.Extra {
		if s == setting {
			return true
		}
	}
	return false
}

// layout names the files below the server's folder.
type layout struct{ home string }

func (l layout) data() string       { return filepath.Join(l.home, "data") }
func (l layout) newData() string    { return filepath.Join(l.home, "data.new") }
func (l layout) socketDir() string  { return filepath.Join(l.home, "run") }
func (l layout) logFile() string    { return filepath.Join(l.home, "server.log") }
func (l layout) gateLock() string   { return filepath.Join(l.home, "gate.lock") }
func (l layout) usersLock() string  { return filepath.Join(l.home, "users.lock") }
func (l layout) versionOf() string  { return filepath.Join(l.data(), "PG_VERSION") }
func (l layout) postmaster() string { return filepath.Join(l.data(), "postmaster.pid") }

// connString is a URL that both pgx and psql understand.
func connString(socketDir string, port int, database string) string {
	// QueryEscape writes a blank as "+", which libpq takes for a plus sign.
	host := strings.ReplaceAll(url.QueryEscape(socketDir), "+", "%20")
	return fmt.Sprintf("postgres://%s@/%s?host=%s&port=%d&sslmode=disable", roleName, database, host, port)
}
