package server_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// contractTools is where the public audits and clients are installed; see `make contract`.
const contractTools = "../../web/contract"

// node runs a script of web/contract and gives what it printed. Where the tools are not installed the test is skipped,
// in CI it fails.
func node(t *testing.T, script string, args ...string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(contractTools, "node_modules", "graphql")); err != nil {
		missing(t, "the tools of web/contract are not installed: run make contract")
	}
	// Where the machine has none or an old one, make contract has fetched Node too.
	program, err := filepath.Abs(filepath.Join(contractTools, "node_modules", "node-linux-"+strings.Replace(runtime.GOARCH, "amd64", "x64", 1), "bin", "node"))
	check(t, err)
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath("node"); err != nil {
			missing(t, "Node is not installed")
		}
	}
	command := exec.CommandContext(t.Context(), program, append([]string{script}, args...)...)
	command.Dir = contractTools
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// missing skips a test whose tools are not there; CI must have them.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func TestAuditsOfGraphQLOverHTTP(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	t.Log(node(t, "audits.mjs", a.url+"/graphql"))
}

func TestClientsRunEverySubscription(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	t.Log(node(t, "subscriptions.mjs", a.url+"/graphql"))
}

func TestSchemaIsLinted(t *testing.T) {
	t.Parallel()
	t.Log(node(t, "lint.mjs"))
}
