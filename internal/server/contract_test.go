package server_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/quimbi/quimbi/internal/server"
)

// contractTools is where the public audits and clients are installed; see `make contract`.
const contractTools = "../../web/contract"

// node runs a script of web/contract that must succeed, and gives what it printed.
func node(t *testing.T, script string, args ...string) string {
	t.Helper()
	out, err := runNode(t, script, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// runNode runs a script of web/contract. Where the tools are not installed the test is skipped, in CI it fails.
func runNode(t *testing.T, script string, args ...string) (string, error) {
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
	return strings.TrimSpace(string(out)), err
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

// TestSchemaKeepsToTheRelease also has graphql-js read the schema that clients get.
func TestSchemaKeepsToTheRelease(t *testing.T) {
	t.Parallel()
	present := filepath.Join(t.TempDir(), "schema.graphql")
	check(t, os.WriteFile(present, []byte(server.Schema()), 0o600))
	t.Log(node(t, "diff.mjs", "../../docs/schema.graphql", present, "../../docs/schema-changes.md"))
}

// TestAnUnnamedBreakingChangeIsFound shows that the comparison sees one.
func TestAnUnnamedBreakingChangeIsFound(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "schema.graphql")
	check(t, os.WriteFile(broken, []byte(strings.Replace(server.Schema(), "totalSnapshots: Long", "totalSnapshots: Int", 1)), 0o600))
	out, err := runNode(t, "diff.mjs", "../../docs/schema.graphql", broken, "../../docs/schema-changes.md")
	if err == nil || !strings.Contains(out, "Health.totalSnapshots") {
		t.Errorf("%v: %s", err, out)
	}
}
