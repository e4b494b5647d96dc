// Package archtest keeps the rules of docs/architecture.md about who may import whom, so that review need not watch them.
package archtest

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listed is what go list tells of a package. IgnoredGoFiles are those of another system or experiment: the rules hold there too.
type listed struct {
	ImportPath, Dir, Name   string
	GoFiles, IgnoredGoFiles []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-buildvcs=false", "-json=ImportPath,Dir,Name,GoFiles,IgnoredGoFiles", "./...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the packages: %v", err)
	}
	var all []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("reading the list of packages: %v", err)
		}
		all = append(all, p)
	}
}

func inner(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

func TestRules(t *testing.T) {
	t.Parallel()
	all := packages(t)
	if len(all) < 10 {
		t.Fatalf("only %d packages were found", len(all))
	}
	for _, p := range all {
		pkg := inner(p.ImportPath)
		if _, known := mayImport[pkg]; !known {
			t.Errorf("%s: say in mayImport, and in docs/architecture.md, what this package may import", p.ImportPath)
			continue
		}
		if slices.Contains(vague, path.Base(p.ImportPath)) || slices.Contains(vague, p.Name) {
			t.Errorf("%s: name the package for what it provides", p.ImportPath)
		}
		for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Errorf("reading %s/%s: %v", pkg, name, err)
				continue
			}
			for _, wrong := range violations(source{pkg, name, file, fset}) {
				t.Error(wrong)
			}
		}
	}
}

// A rule that never fails is none: each is broken here once.
func TestRulesAreNoticed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, pkg, file, text string
		want                  []string
	}{
		{
			name: "a leaf knows customers", pkg: "engine/fcm", file: "a.go",
			text: "package fcm\nimport _ \"github.com/quimbi/quimbi/engine\"",
			want: []string{`engine/fcm/a.go:2: "engine/fcm" may not import engine`},
		},
		{
			name: "the vocabulary fits", pkg: "engine", file: "a.go",
			text: "package engine\nimport _ \"github.com/quimbi/quimbi/engine/hierarchy\"",
			want: []string{`engine/a.go:2: "engine" may not import engine/hierarchy`},
		},
		{
			name: "a request fits", pkg: "resolvers", file: "a.go",
			text: "package resolvers\nimport _ \"github.com/quimbi/quimbi/engine/fit\"",
			want: []string{`resolvers/a.go:2: "resolvers" may not import engine/fit`},
		},
		{
			name: "resolvers wire", pkg: "resolvers", file: "a.go",
			text: "package resolvers\nimport _ \"github.com/quimbi/quimbi/internal/cli\"",
			want: []string{`resolvers/a.go:2: "resolvers" may not import internal/cli`},
		},
		{
			name: "the engine reads files", pkg: "engine/synth", file: "a.go",
			text: "package synth\nimport _ \"os/exec\"",
			want: []string{"engine/synth/a.go:2: the engine is pure: it may not import os/exec"},
		},
		{
			name: "the engine has a library of its own", pkg: "engine", file: "a.go",
			text: "package engine\nimport _ \"github.com/google/uuid\"",
			want: []string{"engine/a.go:2: the engine uses the standard library and gonum, not github.com/google/uuid"},
		},
		{
			name: "the engine reads the clock and draws at random", pkg: "engine", file: "a.go",
			text: "package engine\nimport (\n\"time\"\ndice \"math/rand/v2\"\n)\nvar a = time.Now()\nvar b = dice.IntN(6)\nvar c = dice.New(dice.NewPCG(1, 2))\nvar d time.Time",
			want: []string{
				"engine/a.go:6: the engine is pure: it may not use time.Now",
				"engine/a.go:7: the engine is pure: it may not use math/rand/v2.IntN",
			},
		},
		{
			name: "pgx in a use case", pkg: "jobs", file: "refit.go",
			text: "package jobs\nimport _ \"github.com/jackc/pgx/v5\"",
			want: []string{"jobs/refit.go:2: github.com/jackc/pgx/v5 belongs to internal/localpg, internal/pgtest, internal/postgres, jobs/queue.go, jobs/worker.go alone"},
		},
		{
			name: "pgx in the queue", pkg: "jobs", file: "queue.go",
			text: "package jobs\nimport _ \"github.com/jackc/pgx/v5\"",
		},
		{
			name: "gqlgen in a use case", pkg: "jobs", file: "queue.go",
			text: "package jobs\nimport _ \"github.com/99designs/gqlgen/graphql\"",
			want: []string{"jobs/queue.go:2: github.com/99designs/gqlgen/graphql belongs to graph, graph/direct, graph/model, graph/scalar, internal/server, resolvers alone"},
		},
		{
			name: "SQL in a resolver", pkg: "resolvers", file: "a.go",
			text: "package resolvers\nconst (\na = `-- name: A\nSELECT 1`\nb = `delete from store where id = 1`\nc = \"Select a segment from the list.\"\nd = \"UPDATED\"\n)",
			want: []string{
				`resolvers/a.go:3: SQL belongs to internal/postgres alone: "-- name: A\nSELECT 1"`,
				`resolvers/a.go:5: SQL belongs to internal/postgres alone: "delete from store where id = 1"`,
			},
		},
		{
			name: "SQL in storage", pkg: "internal/postgres", file: "a.go",
			text: "package postgres\nconst a = `SELECT 1`",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, tt.file, tt.text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, violations(source{tt.pkg, tt.file, file, fset})); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// The table must not outlive what it speaks of by spelling mistakes: every name in it is a package of the design.
func TestTableNamesItself(t *testing.T) {
	t.Parallel()
	for pkg, list := range mayImport {
		for _, name := range list {
			name = strings.TrimSuffix(name, "/...")
			if _, known := mayImport[name]; !known && name != "internal" {
				t.Errorf("%q may import %q, which has no row of its own", pkg, name)
			}
		}
	}
}
