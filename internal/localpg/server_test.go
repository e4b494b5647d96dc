//go:build linux || darwin

package localpg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// TestMain lets the test binary play a command that uses the server and is
// killed: see TestKilledOwner.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LOCALPG_TEST_OWNER"); dir != "" {
		if _, err := Start(context.Background(), testOptions(dir)); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println("ready")
		select {}
	}
	os.Exit(m.Run())
}

func testOptions(dir string) Options {
	return Options{
		DataDir: dir,
		PGBin:   os.Getenv("PG_BIN"),
		Extra:   []string{"fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB"},
	}
}

// testDir is a folder that the server's account can reach.
func testDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	// t.Context ends before cleanup.
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func exec1(t *testing.T, s *Server, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return strings.Join(texts, " ")
}

func pidOf(t *testing.T, s *Server) int {
	t.Helper()
	pm, ok := running(s.layout)
	if !ok {
		t.Fatal("no server is running")
	}
	return pm.pid
}

func TestLastToLeaveStops(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), "new", "folder")
	var lines []string
	o := testOptions(dir)
	o.Progress = func(m string) { lines = append(lines, m) }
	a := start(t, o)
	want := []string{"creating the data folder of the private Postgres", "starting the private Postgres"}
	if len(lines) < 2 || !slices.Equal(lines[:2], want) {
		t.Errorf("progress was %q, want %q first", lines, want)
	}
	exec1(t, a, "CREATE TABLE t (x text)")
	exec1(t, a, "INSERT INTO t VALUES ('kept')")

	b := start(t, testOptions(dir))
	pid := pidOf(t, a)
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := exec1(t, b, "SELECT x FROM t"); got != "kept" || pidOf(t, b) != pid {
		t.Errorf("after the first left: read %q from process %d, want the same server %d", got, pidOf(t, b), pid)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := running(b.layout); ok {
		t.Error("the server runs on after the last has left")
	}
	waitDead(t, pid) // its memory is gone a moment before the process is
	if err := b.Close(t.Context()); err != nil {
		t.Errorf("closing twice: %v", err)
	}

	c := start(t, testOptions(dir))
	if got := exec1(t, c, "SELECT x FROM t"); got != "kept" {
		t.Errorf("after a restart read %q", got)
	}
}

func TestFolderIsPrivate(t *testing.T) {
	t.Parallel()
	s := start(t, testOptions(testDir(t)))
	for _, dir := range []string{s.layout.home, s.layout.data(), s.socketDir} {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t).Uid
		if info.Mode().Perm() != 0o700 || int(owner) != s.who.uid || owner == 0 {
			t.Errorf("%s has mode %o and owner %d", dir, info.Mode().Perm(), owner)
		}
	}
	got := exec1(t, s, "SELECT current_setting(s) FROM unnest(ARRAY['listen_addresses','fsync','TimeZone','server_encoding','lc_collate','max_connections']) s")
	if got != " off UTC UTF8 C 100" {
		t.Errorf("settings are %q", got)
	}
	if got := exec1(t, s, "SELECT lower('ÄÖÜ') || current_user || current_database()"); got != "äöüquimbiquimbi" {
		t.Errorf("got %q", got)
	}
	if log, err := os.ReadFile(s.LogFile()); err != nil || !strings.Contains(string(log), "ready to accept connections") {
		t.Errorf("log file: %v\n%s", err, log)
	}
}

func TestConcurrentStarts(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	const n = 4
	servers := make([]*Server, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			s, err := Start(t.Context(), testOptions(dir))
			if err != nil {
				t.Error(err)
				return
			}
			servers[i] = s
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	pid := pidOf(t, servers[0])
	for _, s := range servers {
		if got := exec1(t, s, "SELECT 'here'"); got != "here" || pidOf(t, s) != pid {
			t.Errorf("read %q from process %d, want %d", got, pidOf(t, s), pid)
		}
	}
	for _, s := range servers {
		wg.Go(func() {
			if err := s.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, ok := running(servers[0].layout); ok {
		t.Error("the server runs on after all have left")
	}
}

func TestKilledServerRecovers(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	o := testOptions(dir)
	o.Extra = []string{"fsync=off", "shared_buffers=16MB"} // what was committed must be there
	a := start(t, o)
	exec1(t, a, "CREATE TABLE t (x text)")
	exec1(t, a, "INSERT INTO t SELECT repeat('x', 100) FROM generate_series(1, 10000)")
	pid := pidOf(t, a)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitDead(t, pid)

	b := start(t, testOptions(dir)) // a still holds its share of the lock
	if pidOf(t, b) == pid {
		t.Error("attached to a dead server")
	}
	if got := exec1(t, b, "SELECT count(*)::text FROM t"); got != "10000" {
		t.Errorf("%s rows after recovery", got)
	}
	if log, _ := os.ReadFile(b.LogFile()); !strings.Contains(string(log), "automatic recovery in progress") {
		t.Error("the log tells of no recovery")
	}
}

func waitDead(t *testing.T, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for alive(pid) {
		select {
		case <-ctx.Done():
			t.Fatalf("process %d still lives", pid)
		case <-ticker.C:
		}
	}
}

// A command that is killed leaves its server running; the next one finds it
// and, being the last to leave, stops it.
func TestKilledOwner(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "LOCALPG_TEST_OWNER="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("the owner said %q, %v", line, err)
	}
	before, ok := running(layout{filepath.Join(dir, "postgres")})
	if !ok {
		t.Fatal("the owner started no server")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// Also fails, by the deadline of the test, if the server had inherited the pipe.
	if err := cmd.Wait(); err == nil {
		t.Fatal("the owner was not killed")
	}

	s := start(t, testOptions(dir))
	if pid := pidOf(t, s); pid != before.pid {
		t.Errorf("process %d, want the orphan %d", pid, before.pid)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := running(s.layout); ok {
		t.Error("the orphan runs on after the last has left")
	}
}

func TestOtherVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	s := start(t, testOptions(dir))
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.layout.versionOf(), []byte("12\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), testOptions(dir))
	if !errors.Is(err, ErrOtherVersion) || !strings.Contains(err.Error(), "was made by Postgres 12") {
		t.Errorf("got %v, want ErrOtherVersion", err)
	}
	if _, err := os.Stat(filepath.Join(s.layout.data(), "base")); err != nil {
		t.Errorf("the data is gone: %v", err)
	}
	// The refusal holds no lock.
	version := fmt.Sprint(mustFind(t))
	if err := os.WriteFile(s.layout.versionOf(), []byte(version+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, testOptions(dir))
}

func mustFind(t *testing.T) int {
	t.Helper()
	_, version, _, err := Find(os.Getenv("PG_BIN"))
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func TestLongAndOddPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), strings.Repeat("long ", 20)+"é,\"'", "x")
	s := start(t, testOptions(dir))
	if n := len(socketFile(s.socketDir, s.port)); n > maxSocketPath {
		t.Errorf("the socket's path has %d bytes", n)
	}
	if strings.HasPrefix(s.socketDir, s.layout.home) {
		t.Errorf("the socket is in %s, want it elsewhere", s.socketDir)
	}
	if got := exec1(t, s, "SELECT 'here'"); got != "here" {
		t.Errorf("read %q", got)
	}
	t.Cleanup(func() { os.RemoveAll(s.socketDir) })
}

// A short path with every character that the server or a URL takes specially.
func TestSocketInOddFolder(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", `q a"+%é`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	exists := func() bool {
		there, err := Exists(dir)
		if err != nil {
			t.Fatal(err)
		}
		return there
	}
	if exists() {
		t.Error("a server exists in a new folder")
	}
	s := start(t, testOptions(dir))
	if !exists() {
		t.Error("the server does not exist")
	}
	if got := exec1(t, s, "SELECT 'here'"); got != "here" {
		t.Errorf("read %q", got)
	}
}

func TestInterruptedInitdb(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	l := layout{filepath.Join(dir, "postgres")}
	ctx, cancel := context.WithCancel(t.Context())
	o := testOptions(dir)
	o.Progress = func(string) { cancel() } // while it creates the folder
	if _, err := Start(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want cancelled", err)
	}
	if _, err := os.Stat(l.data()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a cancelled start left a data folder: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(l.newData(), "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, testOptions(dir))
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	s := start(t, testOptions(dir))
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.layout.versionOf()); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), testOptions(dir))
	if err == nil || !strings.Contains(err.Error(), "no PG_VERSION") {
		t.Errorf("got %v, want a refusal", err)
	}
	if _, err := os.Stat(filepath.Join(s.layout.data(), "base")); err != nil {
		t.Errorf("the files are gone: %v", err)
	}
}

func TestDatabaseIsMadeAfterInterruption(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	s := start(t, testOptions(dir))
	conn, err := pgx.Connect(t.Context(), connString(s.socketDir, s.port, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "DROP DATABASE quimbi WITH (FORCE)"); err != nil {
		t.Fatal(err)
	}
	if got := exec1(t, start(t, testOptions(dir)), "SELECT 'here'"); got != "here" {
		t.Errorf("read %q", got)
	}
}

// After a reboot the number in postmaster.pid may belong to any process.
func TestReusedProcessNumber(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	s := start(t, testOptions(dir))
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), "sleep", "600")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: s.who.credential()}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		other.Process.Kill()
		other.Wait()
	})
	content := fmt.Sprintf("%d\n%s\n1700000000\n%d\n%s\n\n 1 1\nready   \n", other.Process.Pid, s.layout.data(), socketPort, s.layout.socketDir())
	for _, path := range []string{s.layout.postmaster(), socketFile(s.layout.socketDir(), socketPort) + ".lock"} {
		if err := s.write(path, os.O_WRONLY|os.O_CREATE, content); err != nil {
			t.Fatal(err)
		}
	}
	if got := exec1(t, start(t, testOptions(dir)), "SELECT 'here'"); got != "here" {
		t.Errorf("read %q", got)
	}
}

func TestBadSettingShowsTheLog(t *testing.T) {
	t.Parallel()
	o := testOptions(testDir(t))
	o.Extra = append(o.Extra, "no_such_setting=1")
	_, err := Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), `unrecognized configuration parameter "no_such_setting"`) {
		t.Errorf("got %v, want the server's own words", err)
	}
}

func TestPlaceAsideForUnreachableFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root's server runs under another account")
	}
	closed := filepath.Join(testDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "quimbi")
	who, err := unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	if reachable(dir, who) || !reachable(filepath.Dir(closed), who) {
		t.Errorf("reachable: inside %v, beside %v", reachable(dir, who), reachable(filepath.Dir(closed), who))
	}
	t.Cleanup(func() { os.RemoveAll(asideHome(dir)) })
	for range 2 { // the second finds the data of the first
		s := start(t, testOptions(dir))
		if s.Folder() != asideHome(dir) {
			t.Errorf("the folder is %s, want %s", s.Folder(), asideHome(dir))
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParsePostmaster(t *testing.T) {
	t.Parallel()
	got, err := parsePostmaster([]byte("42\n/data\n1700000000\n5433\n/run dir\n\n  123 456\nready   \n"))
	if err != nil || got != (postmaster{42, 5433, "/run dir"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = parsePostmaster([]byte("42\n/data\n"))
	if err != nil || got != (postmaster{pid: 42}) {
		t.Errorf("of a server that starts: %+v, %v", got, err)
	}
	for _, bad := range []string{"", "x\n", "-1\n", "0\n"} {
		if _, err := parsePostmaster([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestWorthWaiting(t *testing.T) {
	t.Parallel()
	recovering := &pgconn.PgError{Code: codeCannotConnectNow, Message: "the database system is starting up"}
	for _, c := range []struct {
		err     error
		message string
		wait    bool
	}{
		{fmt.Errorf("connecting: %w", recovering), "the database system is starting up", true},
		{&pgconn.PgError{Code: "28000", Message: "role does not exist"}, "role does not exist", false},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), "", true},
		{fmt.Errorf("dial: %w", syscall.ENOENT), "", true},
		{fmt.Errorf("dial: %w", syscall.EACCES), "", false},
	} {
		if message, wait := worthWaiting(c.err); message != c.message || wait != c.wait {
			t.Errorf("worthWaiting(%v) = %q, %v, want %q, %v", c.err, message, wait, c.message, c.wait)
		}
	}
}
