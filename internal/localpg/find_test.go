package localpg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeInstall makes a folder whose postgres prints the given version line.
func fakeInstall(t *testing.T, dir, versionLine string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell for a postgres that only prints its version")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"initdb", "postgres"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s'\n", versionLine)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSearchTakesNewestByNumber(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	// As texts 9.6 > 17 > 15; as numbers 17 is the newest.
	old := fakeInstall(t, filepath.Join(root, "9.6/bin"), "postgres (PostgreSQL) 9.6.24")
	v15 := fakeInstall(t, filepath.Join(root, "15/bin"), "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)")
	v17 := fakeInstall(t, filepath.Join(root, "17/bin"), "postgres (PostgreSQL) 17beta2")
	if err := os.Symlink(v15, filepath.Join(root, "again")); err != nil {
		t.Fatal(err)
	}
	places := []place{folder(filepath.Join(root, "again")), folder(filepath.Join(root, "nothing")), pattern(filepath.Join(root, "*/bin"))}

	found, tried := search("", places)
	want := []install{{v17, 17}, {filepath.Join(root, "again"), 15}}
	if diff := cmp.Diff(want, found, cmp.AllowUnexported(install{})); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if len(tried) != 3 || !strings.Contains(tried[2], old+" has version 9, which is too old") {
		t.Errorf("tried %q, want three places and the reason against 9.6", tried)
	}
}

func TestSearchWithPGBinLooksNowhereElse(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	v15 := fakeInstall(t, filepath.Join(root, "15"), "postgres (PostgreSQL) 15.1")
	v18 := fakeInstall(t, filepath.Join(root, "18"), "postgres (PostgreSQL) 18.0")

	found, _ := search(v15, []place{folder(v18)})
	if len(found) != 1 || found[0].version != 15 {
		t.Errorf("found %v, want 15 only", found)
	}
	if found, _ := search(filepath.Join(root, "none"), []place{folder(v18)}); len(found) != 0 {
		t.Errorf("found %v beside an empty PG_BIN, want nothing", found)
	}
}

func TestChooseMatchesDataFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	places := []place{
		folder(fakeInstall(t, filepath.Join(root, "15"), "postgres (PostgreSQL) 15.1")),
		folder(fakeInstall(t, filepath.Join(root, "18"), "postgres (PostgreSQL) 18.0")),
	}
	for _, c := range []struct{ data, want int }{{0, 18}, {15, 15}, {18, 18}} {
		got, err := choose("", c.data, "/data", places)
		if err != nil || got.version != c.want {
			t.Errorf("for data of version %d chose %v, %v, want %d", c.data, got, err, c.want)
		}
	}

	_, err := choose("", 16, "/data", places)
	if !errors.Is(err, ErrOtherVersion) {
		t.Fatalf("for data of version 16 got %v, want ErrOtherVersion", err)
	}
	for _, part := range []string{"/data", "Postgres 16", "18 in ", "15 in ", "QUIMBI_DATA_DIR"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("message %q does not name %q", err, part)
		}
	}
}

func TestNotFoundSaysWhatToDo(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	bin, version, tried, err := Find(empty)
	if bin != "" || version != 0 || !errors.Is(err, ErrNotFound) {
		t.Fatalf("Find = %q, %d, %v, want ErrNotFound", bin, version, err)
	}
	if diff := cmp.Diff([]string{"PG_BIN=" + empty}, tried); diff != "" {
		t.Errorf("tried (-want +got):\n%s", diff)
	}
	for _, part := range []string{empty, "Unset PG_BIN", "Install it with: ", "DATABASE_URL"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("message does not name %q:\n%v", part, err)
		}
	}

	err = notFound("", []string{"PATH", "/usr/lib/postgresql/*/bin"})
	if !strings.Contains(err.Error(), "\n  PATH\n  /usr/lib/postgresql/*/bin\n") {
		t.Errorf("message does not list the places:\n%v", err)
	}
}

func TestConnStringKeepsOddPaths(t *testing.T) {
	t.Parallel()
	got := connString("/Users/a b/Application Support/q+r", 5432, "quimbi")
	want := "postgres://quimbi@/quimbi?host=%2FUsers%2Fa%20b%2FApplication%20Support%2Fq%2Br&port=5432&sslmode=disable"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestOptionsValidate(t *testing.T) {
	t.Parallel()
	if err := (Options{DataDir: "x", Extra: []string{"fsync=off", "search_path="}}).Validate(); err != nil {
		t.Errorf("good options: %v", err)
	}
	err := Options{Extra: []string{"fsync"}}.Validate()
	if err == nil || !strings.Contains(err.Error(), "QUIMBI_DATA_DIR") || !strings.Contains(err.Error(), `"fsync"`) {
		t.Errorf("got %v, want both faults named", err)
	}
}
