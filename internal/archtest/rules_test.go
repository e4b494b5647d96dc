package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/quimbi/quimbi"

// mayImport says which packages of the module each package may import; a name that ends in "/..." stands for the package and all
// below it. main only starts internal/cli, the one place of wiring. The engine's leaves work on numbers: they may use each
// other, and never the root, which knows what a customer is.
var mayImport = map[string][]string{
	"":             {"internal/cli"},
	"internal/cli": {"engine/...", "graph/...", "internal/...", "jobs", "migrations", "resolvers", "schema", "web"},

	"internal/server": {
		"engine", "graph/...", "internal/auth", "internal/events", "internal/obs", "internal/postgres", "jobs",
		"resolvers", "schema", "web",
	},
	"resolvers": {
		"engine", "engine/alarm", "engine/backtest", "engine/explain", "engine/feature", "engine/journey", "engine/kselect", "engine/risk", "engine/versions", "engine/watch", "graph/...", "internal/auth", "internal/events", "internal/postgres", "jobs",
	},
	"graph":        {"engine", "engine/backtest/...", "engine/explain", "engine/journey", "engine/kselect", "engine/risk", "engine/versions", "engine/watch", "graph/..."},
	"graph/model":  {"engine", "engine/backtest/...", "engine/explain", "engine/journey", "engine/kselect", "engine/risk", "engine/versions", "engine/watch", "graph/scalar"},
	"graph/scalar": {"engine", "engine/kselect"},
	"graph/direct": {},

	"jobs":               {"engine/...", "internal/ingest", "internal/obs", "internal/postgres"},
	"internal/auth":      {"engine", "internal/postgres"},
	"internal/events":    {"engine", "internal/postgres"},
	"internal/postgres":  {"engine", "engine/watch", "internal/linesort", "migrations"},
	"internal/linesort":  {"engine"},
	"internal/ingest":    {"engine", "internal/linesort"},
	"internal/matrix":    {"engine"},
	"internal/obs":       {"engine"},
	"internal/localpg":   {},
	"internal/pgtest":    {"internal/localpg", "internal/postgres", "migrations"},
	"internal/realstore": {"engine"},
	"internal/archtest":  {},
	"migrations":         {},
	"schema":             {},
	"web":                {},

	"engine":                 {"engine/btyd", "engine/fcm", "engine/kselect", "engine/scale"},
	"engine/alarm":           {"engine", "engine/btyd"},
	"engine/backtest":        {"engine", "engine/alarm", "engine/btyd", "engine/feature", "engine/fit", "engine/risk", "engine/synth"},
	"engine/backtest/report": {"engine", "engine/backtest", "engine/synth"},
	"engine/explain":         {"engine", "engine/shapley"},
	"engine/feature":         {"engine", "engine/scale"},
	"engine/fit":             {"engine", "engine/assign", "engine/cart", "engine/fcm", "engine/hierarchy", "engine/kselect", "engine/scale"},
	"engine/journey":         {"engine"},
	"engine/risk":            {"engine", "engine/feature"},
	"engine/synth":           {"engine"},
	"engine/assign":          {},
	"engine/btyd":            {},
	"engine/cart":            {},
	"engine/fcm":             {},
	"engine/hierarchy":       {"engine/fcm", "engine/kselect"},
	"engine/kselect":         {"engine/fcm"},
	"engine/scale":           {},
	"engine/shapley":         {},
	"engine/versions":        {"engine", "engine/assign"},
	"engine/watch":           {"engine"},
}

// confined libraries stop where they are used: a key is the beginning of an import path, its values are the packages, or the
// files of a package, that may import it.
var confined = map[string][]string{
	// pgx's transaction alone goes further: River inserts and completes jobs in ours.
	"github.com/jackc/pgx/":                    {"internal/localpg", "internal/pgtest", "internal/postgres", "jobs/queue.go", "jobs/worker.go"},
	"github.com/riverqueue/river/riverdriver/": {"internal/pgtest", "internal/postgres", "jobs/queue.go", "jobs/worker.go"},
	"database/sql":                             {"internal/postgres"},
	"github.com/pressly/goose/":                {"internal/postgres"},
	"github.com/99designs/gqlgen/":             {"graph", "graph/direct", "graph/model", "graph/scalar", "internal/server", "resolvers"},
	"github.com/vikstrous/dataloadgen":         {"resolvers"},
	"github.com/alecthomas/kong":               {"internal/cli"},
	"github.com/schollz/progressbar/":          {"internal/cli"},
	"github.com/go-co-op/gocron/":              {"jobs"},
	"github.com/prometheus/client_golang/":     {"internal/obs", "internal/server"},
	"go.opentelemetry.io/":                     {"internal/obs", "internal/postgres/postgres.go"},
	"github.com/exaring/otelpgx":               {"internal/postgres"},
	"github.com/coder/websocket":               {},
	"github.com/stretchr/testify":              {},
}

// mayHoldSQL are the packages whose text may contain statements: storage itself, and the two that prepare servers and databases.
var mayHoldSQL = []string{"internal/postgres", "internal/localpg", "internal/pgtest"}

// impure packages of the standard library do I/O, read the clock or the environment, or draw numbers that no seed gives.
var impure = []string{
	"crypto/rand", "embed", "expvar", "flag", "io/fs", "io/ioutil", "log", "log/slog", "log/syslog", "math/rand", "net", "os",
	"plugin", "runtime/debug", "runtime/pprof", "runtime/trace", "syscall", "testing",
}

// impureNames are what an otherwise harmless package offers of the same kinds.
var impureNames = map[string][]string{
	"time": {"After", "AfterFunc", "LoadLocation", "Local", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"},
	"fmt":  {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
}

// seeded are the names of math/rand/v2 that need a source; all others draw from the process's own.
var seeded = []string{"ChaCha8", "New", "NewChaCha8", "NewPCG", "NewZipf", "PCG", "Rand", "Source", "Zipf"}

var vague = []string{"util", "utils", "common", "helper", "helpers", "types", "models", "misc", "shared"}

// A source is one file that is part of the program, tests aside.
type source struct {
	pkg  string // import path below the module; "" is main
	name string // file name
	file *ast.File
	fset *token.FileSet
}

func (s source) at(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s/%s:%d: %s", s.pkg, s.name, s.fset.Position(pos).Line, fmt.Sprintf(format, args...))
}

// violations are the broken rules of one file, as sentences.
func violations(s source) []string {
	return slices.Concat(wrongImports(s), impurities(s), statements(s))
}

func within(pkg, tree string) bool {
	return pkg == tree || strings.HasPrefix(pkg, tree+"/")
}

func allowed(pkg string, list []string) bool {
	return slices.ContainsFunc(list, func(name string) bool {
		if tree, all := strings.CutSuffix(name, "/..."); all {
			return within(pkg, tree)
		}
		return pkg == name
	})
}

func wrongImports(s source) []string {
	var wrong []string
	for _, spec := range s.file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if inner, ours := strings.CutPrefix(path, module+"/"); ours {
			if !allowed(inner, mayImport[s.pkg]) {
				wrong = append(wrong, s.at(spec.Pos(), "%q may not import %s", s.pkg, inner))
			}
			continue
		}
		for _, library := range slices.Sorted(maps.Keys(confined)) {
			at := confined[library]
			if strings.HasPrefix(path, library) && !slices.Contains(at, s.pkg) && !slices.Contains(at, s.pkg+"/"+s.name) {
				wrong = append(wrong, s.at(spec.Pos(), "%s belongs to %s alone", path, strings.Join(at, ", ")))
			}
		}
		if within(s.pkg, "engine") {
			if slices.ContainsFunc(impure, func(p string) bool { return within(path, p) && path != "math/rand/v2" }) {
				wrong = append(wrong, s.at(spec.Pos(), "the engine is pure: it may not import %s", path))
			}
			if strings.Contains(path, ".") && !strings.HasPrefix(path, "gonum.org/v1/gonum/") {
				wrong = append(wrong, s.at(spec.Pos(), "the engine uses the standard library and gonum, not %s", path))
			}
		}
	}
	return wrong
}

// impurities are the uses of clock, environment, terminal and unseeded randomness in the engine.
func impurities(s source) []string {
	if !within(s.pkg, "engine") {
		return nil
	}
	imported := map[string]string{} // name in the file -> path
	for _, spec := range s.file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		name := path[strings.LastIndex(path, "/")+1:]
		if path == "math/rand/v2" {
			name = "rand"
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imported[name] = path
	}
	var wrong []string
	for node := range ast.Preorder(s.file) {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			continue
		}
		left, ok := selector.X.(*ast.Ident)
		if !ok {
			continue
		}
		path, name := imported[left.Name], selector.Sel.Name
		if slices.Contains(impureNames[path], name) || path == "math/rand/v2" && !slices.Contains(seeded, name) {
			wrong = append(wrong, s.at(selector.Pos(), "the engine is pure: it may not use %s.%s", path, name))
		}
	}
	return wrong
}

// A statement is recognised by its beginning in capitals, the way all of ours are written, or by its whole shape in any case.
var (
	statementStart = regexp.MustCompile(`^\s*(--[^\n]*\n\s*|/\*.*?\*/\s*)*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|ALTER|DROP|TRUNCATE|COPY|LISTEN|NOTIFY|MERGE INTO|LOCK TABLE|ANALYZE|VACUUM)\s`)
	statementShape = regexp.MustCompile(`(?is)^\s*(select\s.*\sfrom\s+[a-z_."]+(\s+(where|order|group|limit|join)\s|\s*$)|insert\s+into\s+[a-z_."]+\s*(\(|values|select)|update\s+[a-z_."]+\s+set\s+[a-z_."]+\s*=|delete\s+from\s+[a-z_."]+(\s+(where|using)\s|\s*$)|with\s+[a-z_]+\s+as\s+(not\s+materialized\s+|materialized\s+)?\()`)
)

func statements(s source) []string {
	if slices.Contains(mayHoldSQL, s.pkg) {
		return nil
	}
	var wrong []string
	for node := range ast.Preorder(s.file) {
		literal, ok := node.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			continue
		}
		text, err := strconv.Unquote(literal.Value)
		if err == nil && (statementStart.MatchString(text) || statementShape.MatchString(text)) {
			wrong = append(wrong, s.at(literal.Pos(), "SQL belongs to internal/postgres alone: %.60q", text))
		}
	}
	return wrong
}
