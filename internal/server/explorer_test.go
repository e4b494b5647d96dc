package server_test

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/quimbi/quimbi/web"
)

// TestExplorerInABrowser needs Chromium and the explorer's files; where either cannot be had it is skipped, in CI too.
func TestExplorerInABrowser(t *testing.T) {
	t.Parallel()
	if _, built := web.Explorer(); !built {
		t.Skip("the explorer's files are not built in: run make web")
	}
	var chromium string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			chromium = path
			break
		}
	}
	if chromium == "" {
		t.Skip("Chromium is not installed")
	}
	examples, err := filepath.Glob("../../web/explorer/examples/*.graphql")
	check(t, err)
	a := newAPI(t)
	t.Log(node(t, "explorer.mjs", chromium, a.url, t.TempDir(), strconv.Itoa(len(examples))))
}
