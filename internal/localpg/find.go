package localpg

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Find returns the folder and the major version of the newest usable Postgres
// of this machine, and the places where it looked. With pgBin (PG_BIN) set it
// looks nowhere else. Otherwise it looks in PATH, at the answer of
// "pg_config --bindir" and in the usual install folders of Linux
// distributions, Homebrew, Postgres.app and MacPorts. An error matches
// [ErrNotFound] and says what to install.
func Find(pgBin string) (bin string, version int, tried []string, err error) {
	found, tried := search(pgBin, machinePlaces())
	if len(found) == 0 {
		return "", 0, tried, notFound(pgBin, tried)
	}
	return found[0].bin, found[0].version, tried, nil
}

// install is a folder with both initdb and postgres.
type install struct {
	bin     string
	version int
}

// place is one thing to try: a description for people and the folders it
// stands for, looked up when it is its turn.
type place struct {
	name    string
	folders func() []string
}

func folder(path string) place {
	return place{path, func() []string { return []string{path} }}
}

func pattern(glob string) place {
	return place{glob, func() []string {
		// The only error is a malformed pattern, and ours are constants.
		folders, _ := filepath.Glob(glob)
		return folders
	}}
}

func machinePlaces() []place {
	places := []place{
		{"PATH", func() []string { return filepath.SplitList(os.Getenv("PATH")) }},
		{"pg_config --bindir", askPgConfig},
	}
	for _, glob := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/opt/local/lib/postgresql*/bin",
	} {
		places = append(places, pattern(glob))
	}
	return append(places, folder("/usr/local/pgsql/bin"))
}

func askPgConfig() []string {
	ctx, cancel := context.WithTimeout(context.Background(), binaryTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output()
	if err != nil {
		return nil
	}
	return []string{strings.TrimSpace(string(out))}
}

// search returns the usable installs, newest first and in the order of the
// places among equals, and a line for every place tried.
func search(pgBin string, places []place) (found []install, tried []string) {
	if pgBin != "" {
		places = []place{{"PG_BIN=" + pgBin, folder(pgBin).folders}}
	}
	seen := map[string]bool{}
	for _, p := range places {
		line := p.name
		for _, dir := range p.folders() {
			if dir == "" || !executable(dir, "postgres") || !executable(dir, "initdb") {
				continue
			}
			resolved, err := filepath.EvalSymlinks(dir)
			if err != nil || seen[resolved] {
				continue
			}
			seen[resolved] = true
			version, err := binaryVersion(dir)
			switch {
			case err != nil:
				line += fmt.Sprintf(" (%s: %v)", dir, err)
			case version < MinVersion:
				line += fmt.Sprintf(" (%s has version %d, which is too old)", dir, version)
			default:
				found = append(found, install{dir, version})
			}
		}
		tried = append(tried, line)
	}
	slices.SortStableFunc(found, func(a, b install) int { return b.version - a.version })
	return found, tried
}

func executable(dir, name string) bool {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	return runtime.GOOS == "windows" || info.Mode()&0o111 != 0
}

// binaryTimeout bounds calls that print one line; only a broken install or a
// stuck network file system takes longer.
const binaryTimeout = 5 * time.Second

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func binaryVersion(bin string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), binaryTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("asking postgres for its version: %w", err)
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("postgres names no version: %q", bytes.TrimSpace(out))
	}
	return strconv.Atoi(string(m[1]))
}

// choose picks the newest install, or for an existing data folder the one of
// its version. dataVersion is 0 where there is no data folder yet.
func choose(pgBin string, dataVersion int, dataDir string, places []place) (install, error) {
	found, tried := search(pgBin, places)
	if len(found) == 0 {
		return install{}, notFound(pgBin, tried)
	}
	if dataVersion == 0 {
		return found[0], nil
	}
	var others []string
	for _, in := range found {
		if in.version == dataVersion {
			return in, nil
		}
		others = append(others, fmt.Sprintf("%d in %s", in.version, in.bin))
	}
	advice := fmt.Sprintf("Install Postgres %d again, or set QUIMBI_DATA_DIR to another folder to start empty.", dataVersion)
	if pgBin != "" {
		advice = fmt.Sprintf("Set PG_BIN to the binaries of Postgres %d, or QUIMBI_DATA_DIR to another folder to start empty.", dataVersion)
	}
	return install{}, &plainError{ErrOtherVersion, fmt.Sprintf(
		"the data folder %s was made by Postgres %d, but found: %s. Nothing was changed. %s",
		dataDir, dataVersion, strings.Join(others, ", "), advice)}
}

// plainError is a message for people that matches a sentinel.
type plainError struct {
	kind    error
	message string
}

func (e *plainError) Error() string { return e.message }
func (e *plainError) Unwrap() error { return e.kind }

func notFound(pgBin string, tried []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "no Postgres %d or newer found (initdb and postgres in one folder). Tried:\n", MinVersion)
	for _, t := range tried {
		fmt.Fprintf(&b, "  %s\n", t)
	}
	if pgBin != "" {
		b.WriteString("Unset PG_BIN to look in the usual places.\n")
	}
	fmt.Fprintf(&b, "Install it with: %s\n", installLine())
	b.WriteString("Or set DATABASE_URL to a Postgres of your own.")
	return &plainError{ErrNotFound, b.String()}
}

// installLine is the command that installs Postgres on this system.
func installLine() string {
	sudo := ""
	if os.Geteuid() > 0 {
		sudo = "sudo "
	}
	for _, manager := range []struct{ name, line string }{
		{"brew", "brew install postgresql@17"},
		{"apt-get", sudo + "apt-get install -y postgresql"},
		{"dnf", sudo + "dnf install -y postgresql-server"},
		{"zypper", sudo + "zypper install -y postgresql-server"},
		{"pacman", sudo + "pacman -S postgresql"},
		{"apk", sudo + "apk add postgresql"},
		{"port", sudo + "port install postgresql17-server"},
	} {
		if _, err := exec.LookPath(manager.name); err == nil {
			return manager.line
		}
	}
	switch runtime.GOOS {
	case "darwin":
		return "brew install postgresql@17"
	default:
		return "your system's package manager (Debian and Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server)"
	}
}
