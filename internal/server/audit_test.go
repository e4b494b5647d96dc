package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quimbi/quimbi/graph"
	"github.com/quimbi/quimbi/internal/auth"
)

type audited struct {
	Actor, Role, Mutation, Outcome string
	StoreID                        *string
	Codes                          []string
	Run                            *struct{ ID string }
	Subject                        *string
}

func (a *api) auditLog(t *testing.T, filter string) []audited {
	t.Helper()
	var got struct {
		AuditLog struct {
			TotalCount int
			Nodes      []audited
		}
	}
	a.data(t, &got, `{ auditLog(`+filter+`first: 100) { totalCount nodes { at actor role mutation storeId outcome codes subject run { id } } } }`, nil)
	if got.AuditLog.TotalCount != len(got.AuditLog.Nodes) {
		t.Errorf("totalCount is %d beside %d entries", got.AuditLog.TotalCount, len(got.AuditLog.Nodes))
	}
	return got.AuditLog.Nodes
}

// Who asked for which mutation, where, and how it ended; nothing of a customer.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	fillStore(t, a.db, "other", func(i int) string { return fmt.Sprintf("foreign-%03d", i) })
	reader, admin, all := a.as(t, "shop", auth.Reader), a.as(t, "shop", auth.Admin), a.as(t, "", auth.Admin)
	var before struct{ Gone, Stays struct{ ID string } }
	admin.data(t, &before, `{ gone: customer(by: {key: {storeId: "shop", customerId: "c001"}}) { id } stays: customer(by: {key: {storeId: "shop", customerId: "c002"}}) { id } }`, nil)
	reader.query(t, `mutation { eraseCustomer(input: {customer: {key: {storeId: "shop", customerId: "c000"}}}) { receipt { hash } } }`, nil)
	admin.query(t, `mutation { a: eraseCustomer(input: {customer: {key: {storeId: "shop", customerId: "c001"}}}) { receipt { hash } userErrors { code } }
  b: recluster(input: {storeId: "shop"}) { run { id } userErrors { code } }
  c: recluster(input: {storeId: "shop"}) { run { id } userErrors { code } }
  e: exportCustomer(input: {customer: {key: {storeId: "shop", customerId: "c002"}}}) { userErrors { code } }
  d: eraseCustomer(input: {customer: {key: {storeId: "other", customerId: "foreign-000"}}}) { userErrors { code } } }`, nil)
	all.query(t, `mutation { updateStore(input: {storeId: "other", name: "renamed"}) { userErrors { code } } }`, nil)

	got := admin.auditLog(t, "")
	want := []string{"exportCustomer  SUCCEEDED", "recluster RUN_IN_PROGRESS REFUSED", "recluster  SUCCEEDED", "eraseCustomer  SUCCEEDED"}
	var found []string
	for _, e := range got {
		if e.StoreID == nil || *e.StoreID != "shop" {
			t.Errorf("a store's admin sees %+v", e)
		}
		if !strings.HasPrefix(e.Actor, "of a test (") {
			t.Errorf("the actor is %q", e.Actor)
		}
		if e.Mutation == "recluster" && e.Outcome == "SUCCEEDED" && e.Run == nil {
			t.Error("the run of a mutation is missing")
		}
		if customers := map[string]string{"exportCustomer": before.Stays.ID, "eraseCustomer": before.Gone.ID}; (e.Subject != nil) != (customers[e.Mutation] != "") || e.Subject != nil && *e.Subject != customers[e.Mutation] {
			t.Errorf("%s is said to be about %v", e.Mutation, e.Subject)
		}
		found = append(found, e.Mutation+" "+strings.Join(e.Codes, ",")+" "+e.Outcome)
	}
	if !slices.Equal(found, want) {
		t.Errorf("entries %q, want %q", found, want)
	}
	// What reached no store, or is another's, is for those who see all.
	whole := all.auditLog(t, "")
	if len(whole) != 7 || whole[0].Mutation != "updateStore" || whole[0].StoreID == nil || *whole[0].StoreID != "other" {
		t.Errorf("the whole log: %+v", whole)
	}
	if e := whole[1]; e.Outcome != "REFUSED" || e.StoreID != nil || e.Subject != nil || !slices.Equal(e.Codes, []string{"NOT_FOUND"}) {
		t.Errorf("a probe of another store: %+v", e)
	}
	if e := whole[6]; e.Outcome != "FORBIDDEN" || e.Role != "READER" || !slices.Equal(e.Codes, []string{"FORBIDDEN"}) {
		t.Errorf("a reader's attempt: %+v", e)
	}
	for filter, n := range map[string]int{
		`filter: {storeId: "other"}, `: 1, `filter: {outcomes: [FORBIDDEN]}, `: 1, `filter: {mutations: ["recluster"]}, `: 2,
		`filter: {range: {to: "2001-01-01"}}, `: 0, `filter: {actor: "nobody"}, `: 0,
	} {
		if entries := all.auditLog(t, filter); len(entries) != n {
			t.Errorf("%s: %d entries, want %d", filter, len(entries), n)
		}
	}
	if r := reader.query(t, `{ auditLog(first: 1) { totalCount } }`, nil); !slices.Contains(r.codes(), "FORBIDDEN") {
		t.Errorf("a reader reads the audit log: %s", r.Text)
	}
	if r := admin.query(t, `{ auditLog(filter: {storeId: "other"}, first: 1) { totalCount } }`, nil); !slices.Contains(r.codes(), "NOT_FOUND") {
		t.Errorf("another store's audit log: %s", r.Text)
	}
	var rows string
	check(t, a.pool.QueryRow(t.Context(), `SELECT string_agg(e::text, E'\n') FROM audit_entry e`).Scan(&rows))
	for _, personal := range []string{"c000", "c001", "c002", "foreign-", admin.token, reader.token} {
		if strings.Contains(rows, personal) {
			t.Errorf("the log holds %q: %s", personal, rows)
		}
	}
}

// Every mutation's payload is one that the log can read.
func TestEveryMutationIsAudited(t *testing.T) {
	t.Parallel()
	schema := graph.NewExecutableSchema(graph.Config{}).Schema()
	for _, mutation := range schema.Mutation.Fields {
		if mutation.Directives.ForName("requiresRole") == nil {
			t.Errorf("%s has no @requiresRole, by which it is let in and noted", mutation.Name)
		}
		if schema.Types[mutation.Type.Name()].Fields.ForName("userErrors") == nil {
			t.Errorf("%s has no userErrors", mutation.Name)
		}
	}
	for _, kind := range schema.GetPossibleTypes(schema.Types["UserError"]) {
		if code := kind.Fields.ForName("code"); code == nil || code.Type.Name() != "UserErrorCode" {
			t.Errorf("%s has no code", kind.Name)
		}
	}
}
