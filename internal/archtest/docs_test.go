package archtest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)

// faults of a page: it has to begin with its name, and what it points to within the project has to be there.
func faults(page string, text []byte, exists func(path string) bool) []string {
	var found []string
	if !bytes.HasPrefix(text, []byte("# ")) {
		found = append(found, "it does not begin with a heading")
	}
	for _, m := range link.FindAllSubmatch(text, -1) {
		target := string(m[1])
		if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		if !exists(filepath.Join(filepath.Dir(page), target)) {
			found = append(found, "there is no "+target)
		}
	}
	return found
}

// TestPages reads the README and all documents.
func TestPages(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	pages := []string{filepath.Join(root, "README.md")}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if err == nil && filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	exists := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range faults(page, text, exists) {
			t.Errorf("%s: %s", page, fault)
		}
	}
}

// TestFaultsOfPages has a page with each fault.
func TestFaultsOfPages(t *testing.T) {
	t.Parallel()
	exists := func(path string) bool { return path == "docs/adr/0001.md" }
	for text, want := range map[string]int{
		"# Name\n\n[1](adr/0001.md#why), [there](https://example.com/x)": 0,
		"| row |# Name\n": 1,
		"# Name\n\nas [decided](adr/0002.md) and [described](../README.md)": 2,
	} {
		if got := faults("docs/page.md", []byte(text), exists); len(got) != want {
			t.Errorf("%q has %q, want %d faults", text, got, want)
		}
	}
}
