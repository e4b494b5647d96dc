package server_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/quimbi/quimbi/graph"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/server"
)

// TestDirectAnswers compares what is written directly with what gqlgen writes: every field without arguments that must be given,
// of every type that is written directly, alone and all of them together, of customers with snapshots and without.
func TestDirectAnswers(t *testing.T) {
	t.Parallel()
	var config server.Config
	a := newAPIWith(t, func(c *server.Config) {
		c.Quota = server.DefaultQuota
		c.Quota.Rate = -1
		config = *c
	}, asItIs)
	fill(t, a.db)
	a = a.as(t, "shop", auth.Reader)
	left := config
	resolver := *config.Resolver
	left.Resolver, left.NoDirect = &resolver, true
	byGqlgen := server.New(left)
	_, err := a.pool.Exec(t.Context(), "DELETE FROM snapshot WHERE customer_id IN (SELECT customer_id FROM customer WHERE customer_key IN ('c003', 'c005'))")
	check(t, err)

	const filter = `filter: {storeId: "shop"}, first: 12`
	around := map[string][]string{ // where values of a type are; %s is the selection
		"CustomerConnection": {`customers(` + filter + `) { %s }`},
		"CustomerEdge":       {`customers(` + filter + `) { edges { %s } }`},
		"PageInfo":           {`customers(` + filter + `) { pageInfo { %s } }`, `customers(filter: {storeId: "shop", customerIdPrefix: "none"}, first: 1) { pageInfo { %s } }`},
		"Customer":           {`customers(` + filter + `) { nodes { %s } }`, `customers(` + filter + `, asOf: "1998-06-01") { totalCount nodes { %s } }`},
		"Snapshot": {
			`customers(` + filter + `) { nodes { latestSnapshot { %s } } }`, `customers(` + filter + `) { nodes { latestSnapshot(type: DAILY) { %s } } }`,
			`customers(` + filter + `, asOf: "1998-06-01") { nodes { latestSnapshot { %s } } }`,
		},
		"Timeline": {
			`customer(by: {key: {storeId: "shop", customerId: "c010"}}) { timeline { %s } }`, `customer(by: {key: {storeId: "shop", customerId: "c003"}}) { timeline { %s } }`,
			`customer(by: {key: {storeId: "shop", customerId: "c010"}}) { timeline(level: ROOTS, axes: ["purchase_value"]) { freshness { modelVersion } %s } }`,
		},
		"AxisTimeline":     {`customer(by: {key: {storeId: "shop", customerId: "c010"}}) { timeline { axes { %s } } }`, `customer(by: {key: {storeId: "shop", customerId: "c003"}}) { timeline { freshness { modelVersion } axes { %s } } }`},
		"MembershipSeries": {`customer(by: {key: {storeId: "shop", customerId: "c010"}}) { timeline { axes { series { %s } } } }`},
		"Axis":             {`customer(by: {key: {storeId: "shop", customerId: "c010"}}) { timeline { axes { axis { %s } } } }`},
		"Segment": {
			`store(key: "shop") { axis(key: "purchase_frequency") { rootSegments { %s } } }`, `store(key: "shop") { axes { rootSegments { children { %s } } } }`,
			`store(key: "shop") { axes { segmentTree { profile { minOrders } parent { %s } ancestors { %s } } } }`,
		},
	}
	schema := graph.NewExecutableSchema(graph.Config{}).Schema()
	for name, places := range around {
		selections := []string{"__typename"}
		for _, field := range schema.Types[name].Fields {
			if selected, ok := selectionOf(schema, field, 2); ok {
				selections = append(selections, selected, "again: "+selected)
			}
		}
		leaves := strings.Join(leavesOf(schema, name), " ")
		selections = append(selections, leaves, "... on "+name+" { "+leaves+" }", "... @skip(if: true) { "+leaves+" } __typename")
		for _, place := range places {
			for _, selected := range selections {
				a.same(t, byGqlgen, "{ "+strings.ReplaceAll(place, "%s", selected)+" }")
			}
		}
	}
	const bench = "../../docs/bench/api/queries/quimbi-"
	for _, use := range []string{"customers", "timeline", "tree"} {
		document, err := os.ReadFile(bench + use + ".graphql")
		check(t, err)
		query := strings.NewReplacer(`"demo"`, `"shop"`, "query ($c: String!)", "", "$c", `"c010"`).Replace(string(document))
		a.same(t, byGqlgen, query)
	}
	// Faults are told as ever.
	a.same(t, byGqlgen, `{ customer(by: {key: {storeId: "shop", customerId: "none"}}) { timeline { dates } } }`)
	a.same(t, byGqlgen, `{ customer(by: {key: {storeId: "none", customerId: "c010"}}) { timeline { dates } } }`)
	a.same(t, byGqlgen, `{ customers(filter: {storeId: "shop"}, first: 1) { nodes { dominantPaths(axes: ["none"]) latestSnapshot { date } } } }`)
	a.same(t, byGqlgen, `{ customers(filter: {storeId: "shop"}, first: 3) { nodes { dominantPaths(level: ROOTS) latestSnapshot { dominantPaths(level: ROOTS) } } } }`)
	a.same(t, byGqlgen, `{ customers(filter: {storeId: "shop"}, first: 3) { nodes { dominantPaths(axes: ["purchase_value"]) } } }`)
	// So is a model that is not there.
	_, err = a.pool.Exec(t.Context(), "UPDATE snapshot SET model_id = 7 WHERE customer_id = (SELECT customer_id FROM customer WHERE customer_key = 'c001')")
	check(t, err)
	a.same(t, byGqlgen, `{ customers(filter: {storeId: "shop"}, first: 3) { nodes { customerId latestSnapshot { date dominantPaths } } } }`)
}

// same asks both and fails where their answers differ.
func (a *api) same(t *testing.T, other http.Handler, query string) {
	t.Helper()
	asked, err := json.Marshal(map[string]string{"query": query})
	check(t, err)
	body := string(asked)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+"/graphql", strings.NewReader(body))
	check(t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+a.token)
	response, err := http.DefaultClient.Do(r)
	check(t, err)
	defer response.Body.Close()
	direct, err := io.ReadAll(response.Body)
	check(t, err)
	recorder := httptest.NewRecorder()
	again := httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, "/graphql", strings.NewReader(body))
	again.Header = r.Header
	other.ServeHTTP(recorder, again)
	if got, want := string(direct), recorder.Body.String(); got != want || strings.Contains(want, "BAD_USER_INPUT") && !strings.Contains(query, "none") {
		t.Errorf("%s\n     gives %.600s\nby gqlgen %.600s", query, got, want)
	}
}

// selectionOf selects a field that needs no argument and cannot change from one look to the next, with all leaves below it.
func selectionOf(schema *ast.Schema, field *ast.FieldDefinition, depth int) (string, bool) {
	if field.Name == "freshness" {
		return "", false
	}
	for _, argument := range field.Arguments {
		if argument.Type.NonNull && argument.DefaultValue == nil || argument.Name == "first" {
			return "", false
		}
	}
	of := schema.Types[field.Type.Name()]
	if of.Kind == ast.Scalar || of.Kind == ast.Enum {
		return field.Name, true
	}
	if of.Kind != ast.Object || depth == 0 {
		return "", false
	}
	return field.Name + " { " + strings.Join(leavesOf(schema, of.Name), " ") + " }", true
}

func leavesOf(schema *ast.Schema, name string) []string {
	leaves := []string{"__typename"}
	for _, field := range schema.Types[name].Fields {
		if selected, ok := selectionOf(schema, field, 0); ok && field.Directives.ForName("cost") == nil {
			leaves = append(leaves, selected)
		}
	}
	return leaves
}
