package cli

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/quimbi/quimbi/engine"
)

// What is there stays until its successor is whole, and nobody else may read what is written.
func TestWriteFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "orders.csv")
	if err := os.WriteFile(path, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	text := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, failed := io.WriteString(w, text)
			return errors.Join(failed, err)
		}
	}
	broken := errors.New("broken")
	if err := writeFile(path, "--out", text("half", broken)); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	holds(t, folder, path, "before", 0o644)
	if err := writeFile(path, "--out", text("after", nil)); err != nil {
		t.Error(err)
	}
	holds(t, folder, path, "after", 0o600)
	if err := writeFile(os.DevNull, "--out", text("nothing", broken)); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%s is gone or a file: %v", os.DevNull, err)
	}
	for _, path := range []string{filepath.Join(folder, "none", "x"), filepath.Join(path, "x"), folder} {
		if err := writeFile(path, "--out", text("", nil)); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// holds looks at a file that is alone in its folder.
func holds(t *testing.T, folder, path, want string, mode os.FileMode) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil || string(text) != want {
		t.Errorf("%s holds %q, %v", path, text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
		t.Errorf("%s has the mode %s, %v", path, info.Mode(), err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("beside it there are %v, %v", entries, err)
	}
}
