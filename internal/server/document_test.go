package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/quimbi/quimbi/graph"
)

var graphqlBlock = regexp.MustCompile("(?s)```graphql\n(.*?)```")

// TestDocumentedQueries runs every query, mutation and subscription of docs/api.md against a store.
func TestDocumentedQueries(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var tree struct {
		Store struct {
			Axis struct{ RootSegments []struct{ ID string } }
		}
	}
	a.data(t, &tree, `{ store(key: "shop") { axis(key: "purchase_frequency") { rootSegments { id } } } }`, nil)
	all := map[string]any{"store": "shop", "customer": name(20), "run": a.finishedRun(t), "segment": tree.Store.Axis.RootSegments[0].ID}
	page, err := os.ReadFile("../../docs/api.md")
	check(t, err)
	blocks := graphqlBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 12 {
		t.Fatalf("docs/api.md has %d queries", len(blocks))
	}
	for _, block := range blocks {
		variables := map[string]any{}
		for key, value := range all {
			if strings.Contains(block[1], "$"+key+":") {
				variables[key] = value
			}
		}
		if strings.HasPrefix(block[1], "subscription") {
			if strings.Contains(block[1], "$after") {
				variables["after"] = a.oldestEvent(t)
			}
			a.firstEvent(t, block[1], variables)
			continue
		}
		r := a.query(t, block[1], variables)
		if len(r.Errors) > 0 || r.Status != http.StatusOK || strings.Contains(r.Text, `"userErrors":[{`) {
			t.Errorf("%s\nstatus %d: %.1000s", block[1], r.Status, r.Text)
		}
	}
}

// firstEvent reads a subscription's first event, which must be none of errors. That of snapshots comes with a snapshot that
// is taken once the server has begun to answer.
func (a *api) firstEvent(t *testing.T, query string, variables map[string]any) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	check(t, err)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/graphql", strings.NewReader(string(body)))
	check(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	response, err := http.DefaultClient.Do(request)
	check(t, err)
	defer response.Body.Close()
	told := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				told <- text
				return
			}
		}
		told <- `"errors": the stream ended without an event`
	}()
	for {
		if strings.Contains(query, "snapshotsTaken") {
			a.query(t, `mutation { createSnapshot(input: {customer: {key: {storeId: "shop", customerId: "c001"}}, type: DAILY, onConflict: REPLACE}) { created } }`, nil)
		} else if text := <-told; strings.Contains(text, `"errors"`) {
			t.Errorf("%s\n%s", query, text)
			return
		} else {
			return
		}
		select {
		case text := <-told:
			if strings.Contains(text, `"errors"`) {
				t.Errorf("%s\n%s", query, text)
			}
			return
		default:
		}
	}
}

// example runs a command in docs/examples. Where it cannot be got ready the test is skipped, in CI it fails.
func example(t *testing.T, folder string, command ...string) (string, error) {
	t.Helper()
	run := exec.CommandContext(t.Context(), command[0], command[1:]...)
	run.Dir = filepath.Join("../../docs/examples", folder)
	out, err := run.CombinedOutput()
	return string(out), err
}

func TestGoClient(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds a program of its own")
	}
	a := newAPI(t)
	if out, err := example(t, "go", "go", "mod", "download"); err != nil {
		missing(t, "the modules of docs/examples/go cannot be had: "+out)
	}
	if out, err := example(t, "go", "go", "generate", "./..."); err != nil {
		t.Fatalf("go generate: %v\n%s", err, out)
	}
	out, err := example(t, "go", "go", "run", ".", a.url+"/graphql", "shop")
	if err != nil || strings.Count(out, "segment seg_0 -> segment seg_1 (0.80, MAJOR)") != customers/10 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	if _, err := exec.LookPath("npm"); err != nil {
		missing(t, "npm is not installed")
	}
	if _, err := os.Stat("../../docs/examples/typescript/node_modules/typescript"); err != nil {
		missing(t, "the packages of docs/examples/typescript are not installed: run make contract")
	}
	if out, err := example(t, "typescript", "npm", "run", "build"); err != nil {
		t.Fatalf("npm run build: %v\n%s", err, out)
	}
	out, err := example(t, "typescript", "npm", "start", "--silent", "--", a.url+"/graphql", "shop", name(20))
	if err != nil || strings.Count(out, "Purchase frequency: seg_1 (") != weeks/2 {
		t.Errorf("%v\n%s", err, out)
	}
}

// What may be null says when, by its own description or its type's: a client that charts numbers has to know whether 0 and
// nothing are the same.
func TestDescriptionsSayWhatNullMeans(t *testing.T) {
	t.Parallel()
	says := func(text string) bool { return strings.Contains(strings.ToLower(text), "null") }
	looked := 0
	for _, def := range graph.NewExecutableSchema(graph.Config{}).Schema().Types {
		if def.BuiltIn || strings.HasPrefix(def.Name, "__") || def.Kind != ast.Object && def.Kind != ast.Interface || says(def.Description) {
			continue
		}
		for _, field := range def.Fields {
			if strings.HasPrefix(field.Name, "__") || field.Type.NonNull {
				continue
			}
			looked++
			if !says(field.Description) {
				t.Errorf("%s.%s may be null and does not say when: %q", def.Name, field.Name, field.Description)
			}
		}
	}
	if looked < 100 {
		t.Errorf("only %d fields were looked at", looked)
	}
}
