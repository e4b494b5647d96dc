package cli

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/server"
)

func TestMain(m *testing.M) {
	testscript.Main(stopping{m}, map[string]func(){"quimbi": func() {
		os.Exit(Main(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
	}})
}

// stopping lets go of the test server when all tests are done.
type stopping struct{ m *testing.M }

// Run runs the tests.
func (s stopping) Run() int {
	code := s.m.Run()
	if err := pgtest.Stop(); err != nil {
		return max(code, 1)
	}
	return code
}

// sharedFile finds a file of the folder shared, beside the repository.
func sharedFile(t *testing.T, name string) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		file := filepath.Join(folder, "shared", filepath.FromSlash(name))
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not there: shared must lie beside the repository", name)
	}
	t.Skipf("%s is not there: shared does not lie beside the repository", name)
	return ""
}

// TestScripts runs the commands as a user would, each script on a database of its own.
func TestScripts(t *testing.T) {
	t.Parallel()
	sample := sharedFile(t, "data/cdnow_sample.csv.gz")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("DATABASE_URL", pgtest.URL(env.T().(testing.TB)))
			env.Setenv("SAMPLE", sample)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"object": object},
	})
}

// object checks that standard output was exactly one JSON object that has the keys.
func object(ts *testscript.TestScript, negated bool, keys []string) {
	if negated {
		ts.Fatalf("object cannot be negated")
	}
	out := ts.ReadFile("stdout")
	var found map[string]json.RawMessage
	decoder := json.NewDecoder(strings.NewReader(out))
	ts.Check(decoder.Decode(&found))
	if decoder.More() {
		ts.Fatalf("there is more than one object: %s", out)
	}
	for _, key := range keys {
		if _, ok := found[key]; !ok {
			ts.Fatalf("there is no key %q in %s", key, out)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		env  []string
		code int
		want string
	}{
		{"help", []string{"--help"}, nil, exitOK, "recluster"},
		{"nothing", nil, nil, exitOK, "recluster"},
		{"help of a command names variables", []string{"recluster", "--help"}, nil, exitOK, "$FCM_FUZZINESS"},
		{"unknown command", []string{"bogus"}, nil, exitUsage, "bogus"},
		{"unknown command, JSON", []string{"bogus", "--json"}, nil, exitUsage, `{"error":{"code":"INVALID"`},
		{"missing store", []string{"recluster"}, nil, exitUsage, "--store"},
		{"bad date", []string{"replay", "--store", "x", "--type", "weekly", "--from", "soon", "--to", "2026-01-01"}, nil, exitUsage, "must be a date"},
		{"no port", []string{"serve"}, []string{"LISTEN_ADDR=0.0.0.0"}, exitUsage, "127.0.0.1:8080"},
		{"a negative limit", []string{"serve", "--rate-limit=-1"}, nil, exitUsage, "--rate-limit"},
		{"no trusted documents", []string{"serve"}, []string{"API_TRUSTED_DOCUMENTS=nowhere.json"}, exitNotFound, "nowhere.json"},
		{"any origin", []string{"serve", "--cors-origins", "*"}, nil, exitUsage, "--cors-origins"},
		{"bad setting", []string{"recluster", "--store", "x"}, []string{"FCM_FUZZINESS=1"}, exitUsage, "fuzziness"},
		{"unreadable setting", []string{"recluster", "--store", "x"}, []string{"FCM_MAX_ITER=many"}, exitUsage, "many"},
		{"no such file", []string{"import", "--store", "x", "nowhere.csv"}, nil, exitNotFound, "nowhere.csv"},
		{"database away", []string{"recluster", "--store", "x"}, []string{"DATABASE_URL=postgres://u:secret@127.0.0.1:1/x"}, exitUnavailable, "cannot be used"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if code := run(t.Context(), test.args, test.env, strings.NewReader(""), &out, &out); code != test.code {
				t.Errorf("the exit code is %d, want %d", code, test.code)
			}
			if !strings.Contains(out.String(), test.want) || strings.Contains(out.String(), "secret") {
				t.Errorf("the output lacks %q or tells a secret:\n%s", test.want, &out)
			}
		})
	}
}

func TestSettingsFromEnvironment(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	args := []string{"doctor", "--json"}
	env := []string{"DATABASE_URL=postgres://127.0.0.1:1/x", "HIERARCHICAL_MAX_SEGMENT_PCT=140", "SNAPSHOT_DAILY_RETENTION=", "ENABLE_FUZZY_CMEANS=false"}
	if code := run(t.Context(), args, env, strings.NewReader(""), &out, &out); code != exitFailure {
		t.Errorf("the exit code is %d, want %d", code, exitFailure)
	}
	if want := "maxSegmentShare must be over 0 and at most 1, is 1.4"; !strings.Contains(out.String(), want) {
		t.Errorf("the output lacks %q:\n%s", want, &out)
	}
}

// Every variable of the hierarchy reaches the fit.
func TestHierarchySettings(t *testing.T) {
	t.Parallel()
	var flags struct{ Settings }
	a := &app{env: environment([]string{
		"ENABLE_HIERARCHICAL_CLUSTERING=false", "HIERARCHICAL_MAX_VARIANCE=1.5", "HIERARCHICAL_MAX_SEGMENT_PCT=40", "HIERARCHICAL_MIN_SIZE=70", "HIERARCHICAL_MAX_DEPTH=2",
	})}
	parser, err := kong.New(&flags, kong.Resolvers(kong.ResolverFunc(a.variable)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	settings, err := flags.jobs()
	want := engine.DefaultParams()
	want.Hierarchical, want.MaxVariance, want.MaxShare, want.MinSize, want.MaxDepth = false, 1.5, 0.4, 70, 2
	if err != nil || settings.Params != want {
		t.Errorf("%+v, %v, want %+v", settings.Params, err, want)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", 100000: "100,000"} {
		if got := number(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}

// TestWebhookSecrets reads several secrets a store, which do not show themselves.
func TestWebhookSecrets(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(file, []byte("# shops\n\nour shop\tfirst-secret-of-it\r\n  our shop second-secret-of-it  \nother third-secret-of-all"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := (&WebhookSecrets{WebhookSecrets: file}).read()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]server.Secret{"our shop": {"first-secret-of-it", "second-secret-of-it"}, "other": {"third-secret-of-all"}}
	if !maps.EqualFunc(want, got, slices.Equal) {
		t.Errorf("the secrets are not those of the file, but of %d stores", len(got))
	}
}
