//go:build linux || darwin

package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// hba lets everybody in who can reach the socket: the folder around it keeps
// all but the server's account and root out.
const hba = "# Written by Quimbi. The folder of the socket is private.\nlocal all all trust\n"

// tuning goes into postgresql.conf, where a person may change it. The sizes
// suit a small machine that also runs the program.
const tuning = `
# Written by Quimbi when the folder was made; change it as you like.
max_connections = 100
shared_buffers = 256MB
work_mem = 32MB
maintenance_work_mem = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min
wal_level = minimal          # nobody replicates a private server
max_wal_senders = 0
random_page_cost = 1.1       # solid state disk
jit = off                    # queries are short
`

// maxLog is the size at which a log file is set aside at the next start.
const maxLog = 10 << 20

// launch starts a server process, making the data folder first if there is
// none, and does not wait for it. The caller stands at the gate.
func (s *Server) launch(ctx context.Context) (*attempt, error) {
	version, err := dataVersion(s.layout)
	if err != nil {
		return nil, err
	}
	in, err := choose(s.options.PGBin, version, s.layout.data(), machinePlaces())
	if err != nil {
		return nil, err
	}
	if version == 0 {
		if err := s.create(ctx, in); err != nil {
			return nil, err
		}
	}
	s.options.progress("starting the private Postgres")
	socketDir, err := makeSocketDir(s.layout, s.who)
	if err != nil {
		return nil, err
	}
	if err := s.clearRemains(socketDir); err != nil {
		return nil, err
	}
	log, err := s.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	offset, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("opening the log of the private Postgres: %w", err)
	}

	args := []string{"-D", s.layout.data(), "-p", fmt.Sprint(socketPort)}
	for _, setting := range append([]string{
		"listen_addresses=",
		// Quoted, so that no character of the path has a meaning.
		`unix_socket_directories="` + strings.ReplaceAll(socketDir, `"`, `""`) + `"`,
		"unix_socket_permissions=0700",
		"logging_collector=off",
		"log_destination=stderr",
		"lc_messages=C", // leftovers reads them
		"timezone=UTC",
		"log_timezone=UTC",
		"cluster_name=quimbi",
	}, s.options.Extra...) {
		args = append(args, "-c", setting)
	}
	// A session of its own: neither ctrl-C at the terminal nor the end of this
	// command reaches the server. Not CommandContext, for the same reason.
	cmd := exec.Command(filepath.Join(in.bin, "postgres"), args...)
	cmd.Dir = s.layout.home
	cmd.Env = serverEnv(os.Environ())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: s.who.credential()}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s as %s: %w", cmd.Path, s.who, err)
	}
	pid := cmd.Process.Pid
	// The server outlives this command if others use it, so nobody waits for
	// it; alive buries it if it ends before.
	if err := cmd.Process.Release(); err != nil {
		return nil, fmt.Errorf("letting go of the private Postgres: %w", err)
	}
	s.logger.Debug("private Postgres started", "pid", pid, "bin", in.bin, "version", in.version, "account", s.who.String())
	return &attempt{pid, offset}, nil
}

// create makes the data folder aside and renames it when it is complete, so
// that an interrupted initdb leaves nothing that looks like data.
func (s *Server) create(ctx context.Context, in install) error {
	s.options.progress("creating the data folder of the private Postgres")
	data, fresh := s.layout.data(), s.layout.newData()
	// An empty folder may go; one with files but no PG_VERSION is not ours.
	if err := os.Remove(data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder %s holds files but no PG_VERSION, so it is no data folder of Postgres: move it away and try again", data)
	}
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("removing what an interrupted start left in %s: %w", fresh, err)
	}

	args := []string{"-D", fresh, "-U", roleName, "-A", "trust", "-E", "UTF8"}
	if s.options.has("fsync=off") {
		args = append(args, "-N")
	}
	out, err := s.initdb(ctx, in, append(args, localeArgs(in.version)...))
	if err != nil && ctx.Err() == nil && bytes.Contains(out, []byte("locale")) {
		// A system without the locale: bytes order the same, and only the case
		// of letters beyond ASCII is unknown to it.
		if err := os.RemoveAll(fresh); err != nil {
			return fmt.Errorf("removing what initdb left in %s: %w", fresh, err)
		}
		out, err = s.initdb(ctx, in, append(args, "--no-locale"))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("creating the data folder of the private Postgres: %w", ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("creating the data folder of the private Postgres with %s: %w\n%s", filepath.Join(in.bin, "initdb"), err, bytes.TrimSpace(out))
	}

	if err := s.write(filepath.Join(fresh, "pg_hba.conf"), os.O_WRONLY|os.O_TRUNC, hba); err != nil {
		return fmt.Errorf("configuring the private Postgres: %w", err)
	}
	if err := s.write(filepath.Join(fresh, "postgresql.conf"), os.O_WRONLY|os.O_APPEND, tuning); err != nil {
		return fmt.Errorf("configuring the private Postgres: %w", err)
	}
	if err := os.Rename(fresh, data); err != nil {
		return fmt.Errorf("putting the new data folder in place: %w", err)
	}
	return nil
}

func (s *Server) initdb(ctx context.Context, in install, args []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(in.bin, "initdb"), args...)
	cmd.Dir = s.layout.home
	cmd.Env = serverEnv(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.who.credential()}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd.CombinedOutput()
}

// localeArgs ask for texts ordered by bytes, the same on every machine, and
// letters known by Unicode.
func localeArgs(version int) []string {
	switch {
	case version >= 17:
		return []string{"--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"}
	case runtime.GOOS == "darwin":
		return []string{"--locale=C", "--lc-ctype=en_US.UTF-8"}
	default:
		return []string{"--locale=C", "--lc-ctype=C.UTF-8"}
	}
}

// serverEnv drops the variables that would steer Postgres elsewhere or bring
// the caller's language into its messages.
func serverEnv(env []string) []string {
	var kept []string
	for _, e := range env {
		if strings.HasPrefix(e, "PG") || strings.HasPrefix(e, "LC_") || strings.HasPrefix(e, "LANG") {
			continue
		}
		kept = append(kept, e)
	}
	return append(kept, "LC_ALL=C")
}

// clearRemains removes what a dead server left behind. Postgres would do so
// itself but for process numbers that have been given away again since.
func (s *Server) clearRemains(socketDir string) error {
	remains := []string{socketFile(socketDir, socketPort), socketFile(socketDir, socketPort) + ".lock"}
	if content, err := os.ReadFile(s.layout.postmaster()); err == nil {
		// Unreadable may mean that a server is just writing it; Postgres judges.
		if pm, err := parsePostmaster(content); err == nil && alive(pm.pid) && !isPostmaster(pm.pid, s.layout.data()) {
			remains = append(remains, s.layout.postmaster())
		}
	}
	for _, path := range remains {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing what a dead Postgres left behind: %w", err)
		}
	}
	return nil
}

func (s *Server) openLog() (*os.File, error) {
	path := s.layout.logFile()
	if info, err := os.Lstat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("setting the old log aside: %w", err)
		}
	}
	f, err := openFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, s.who)
	if err != nil {
		return nil, fmt.Errorf("opening the log of the private Postgres: %w", err)
	}
	return f, nil
}

func (s *Server) write(path string, flag int, content string) error {
	f, err := openFile(path, flag, s.who)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

// logLines is how much of a log an error quotes.
const logLines = 10

// logSince returns the last lines of the log from an offset on.
func (s *Server) logSince(offset int64) string {
	content, err := os.ReadFile(s.layout.logFile())
	if err != nil || int64(len(content)) < offset {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(content[offset:])), "\n")
	return strings.Join(lines[max(0, len(lines)-logLines):], "\n")
}
