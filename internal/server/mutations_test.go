package server_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type retentionPolicy struct {
	Type       string
	KeepDays   int
	Overridden bool
}

func TestUpdateStore(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	type store struct {
		Name, TimeZone string
		Currency       *string
		Live           bool
		Settings       struct {
			WeekStart        string
			PurchaseStatuses []string
			Scheduled        *bool
			ChurnHorizonDays int
			Margin           float64
			MonthlyDiscount  float64
		}
		RetentionPolicies []retentionPolicy
	}
	const fields = `{ name timeZone currency live settings { weekStart purchaseStatuses scheduled churnHorizonDays margin monthlyDiscount } retentionPolicies { type keepDays overridden } }`
	update := func(changes string) store {
		t.Helper()
		var got struct {
			UpdateStore struct {
				Store      *store
				UserErrors []userError
			}
			Store store
		}
		a.data(t, &got, `mutation { updateStore(input: {storeId: "shop"`+changes+`}) { store `+fields+` userErrors { __typename field } } }`, nil)
		if got.UpdateStore.Store == nil || len(got.UpdateStore.UserErrors) > 0 {
			t.Fatalf("%s: %+v", changes, got.UpdateStore)
		}
		a.data(t, &got, `{ store(key: "shop") `+fields+` }`, nil)
		if diff := cmp.Diff(*got.UpdateStore.Store, got.Store); diff != "" {
			t.Errorf("%s (-answer +afterwards):\n%s", changes, diff)
		}
		return got.Store
	}
	yes := true
	euro := "EUR"
	var want store
	want.Name, want.TimeZone, want.Settings.WeekStart, want.Settings.PurchaseStatuses = "shop", "UTC", "SUNDAY", []string{}
	want.Settings.ChurnHorizonDays, want.Settings.Margin, want.Settings.MonthlyDiscount = 90, 1, 0.01
	want.RetentionPolicies = []retentionPolicy{{"DAILY", 7, false}, {"WEEKLY", 60, false}, {"MONTHLY", 365, false}, {"QUARTERLY", 730, false}, {"YEARLY", 1826, false}}
	for _, step := range []struct {
		changes string
		change  func()
	}{
		{"", func() {}},
		{`, name: "The \"Shop\"", currency: "EUR", weekStart: MONDAY`, func() { want.Name, want.Currency, want.Settings.WeekStart = `The "Shop"`, &euro, "MONDAY" }},
		{`, purchaseStatuses: ["Paid", "paid", "on hold"], scheduled: true`, func() {
			want.Settings.PurchaseStatuses, want.Settings.Scheduled, want.Live = []string{"paid", "on_hold"}, &yes, true
		}},
		{`, retention: [{type: DAILY, keepDays: 30}, {type: YEARLY, keepDays: 4000}]`, func() {
			want.RetentionPolicies[0], want.RetentionPolicies[4] = retentionPolicy{"DAILY", 30, true}, retentionPolicy{"YEARLY", 4000, true}
		}},
		{`, retention: [{type: YEARLY, keepDays: null}, {type: DAILY, keepDays: 7}]`, func() {
			want.RetentionPolicies[0], want.RetentionPolicies[4] = retentionPolicy{"DAILY", 7, true}, retentionPolicy{"YEARLY", 1826, false}
		}},
		{`, retention: [{type: DAILY}]`, func() { want.RetentionPolicies[0].Overridden = false }},
		{`, churnHorizonDays: 60, margin: 0.4, monthlyDiscount: 0`, func() {
			want.Settings.ChurnHorizonDays, want.Settings.Margin, want.Settings.MonthlyDiscount = 60, 0.4, 0
		}},
		{`, churnHorizonDays: null, margin: null`, func() { want.Settings.ChurnHorizonDays, want.Settings.Margin = 90, 1 }},
		{`, timeZone: "Asia/Kolkata"`, func() { want.TimeZone = "Asia/Kolkata" }},
		{`, scheduled: null, purchaseStatuses: [], name: null`, func() {
			want.Settings.PurchaseStatuses, want.Settings.Scheduled, want.Live = []string{}, nil, false
		}},
	} {
		step.change()
		if diff := cmp.Diff(want, update(step.changes)); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", step.changes, diff)
		}
	}
	for changes, field := range map[string]string{
		`retention: [{type: DAILY, keepDays: 0}]`: "retention", `retention: [{type: DAILY, keepDays: 36501}]`: "retention",
		`retention: [{type: DAILY, keepDays: 8}, {type: DAILY, keepDays: 9}]`: "retention",
		`name: " "`: "name", `currency: "euro"`: "currency", `timeZone: "Nowhere/Else"`: "timeZone", `purchaseStatuses: [""]`: "purchaseStatuses",
		`churnHorizonDays: 6`: "churnHorizonDays", `churnHorizonDays: 731`: "churnHorizonDays", `margin: 0`: "margin", `margin: 1.1`: "margin",
		`monthlyDiscount: 1`: "monthlyDiscount", `monthlyDiscount: -0.1`: "monthlyDiscount",
	} {
		r := a.query(t, `mutation { updateStore(input: {storeId: "shop", weekStart: FRIDAY, `+changes+`}) { store { key } userErrors { __typename code field message } } }`, nil)
		if len(r.Errors) > 0 || !strings.Contains(r.Text, `"InvalidInputError"`) || !strings.Contains(r.Text, `["input","`+field+`"]`) || !strings.Contains(r.Text, `"store":null`) {
			t.Errorf("%s: %s", changes, r.Text)
		}
	}
	if diff := cmp.Diff(want, update("")); diff != "" {
		t.Errorf("what was refused changed something:\n%s", diff)
	}
	r := a.query(t, `mutation { updateStore(input: {storeId: "nowhere", weekStart: FRIDAY}) { store { key } userErrors { __typename field } } }`, nil)
	if !strings.Contains(r.Text, `"NotFoundError"`) || !strings.Contains(r.Text, `["input","storeId"]`) {
		t.Errorf("an unknown store: %s", r.Text)
	}
}

func TestReplaySnapshots(t *testing.T) {
	t.Parallel()
	a, store := newPastAPI(t)
	a.fitPast(t, 2)
	a.work(t)
	replay := func(arguments string) (run string, text string) {
		t.Helper()
		r := a.query(t, `mutation { replaySnapshots(input: {storeId: "past", `+arguments+`}) { run { id } userErrors { __typename code field message } } }`, nil)
		var got struct {
			ReplaySnapshots struct {
				Run        *struct{ ID string }
				UserErrors []userError
			}
		}
		if len(r.Errors) > 0 {
			t.Fatalf("%s: %s", arguments, r.Text)
		}
		check(t, json.Unmarshal(r.Data, &got))
		if (got.ReplaySnapshots.Run == nil) != (len(got.ReplaySnapshots.UserErrors) > 0) {
			t.Fatalf("%s: %s", arguments, r.Text)
		}
		if got.ReplaySnapshots.Run != nil {
			run = got.ReplaySnapshots.Run.ID
		}
		return run, r.Text
	}
	const asked = `{ run(id: "%s") { state trigger progress { done total fraction } ... on ReplayRun { type dates modelVersion counts { created kept replaced failed } } } }`
	const month = `from: "1998-05-01", to: "1998-06-01"`
	var bought string // snapshots of all customers who had bought by each of the five Sundays
	check(t, a.pool.QueryRow(t.Context(), `SELECT count(*)::text FROM customer CROSS JOIN generate_series(timestamp '1998-05-03', '1998-05-31', '7 days') d
WHERE first_order_at < d AT TIME ZONE $1`, store.Zone.String()).Scan(&bought))
	for _, step := range []struct {
		arguments string
		model     int
		want      counts
	}{
		{month + `, modelVersion: 1, idempotencyKey: "one"`, 1, counts{bought, "0", "0", "0"}},
		{month, 2, counts{"0", bought, "0", "0"}},
		{month + `, onConflict: REPLACE`, 2, counts{"0", "0", bought, "0"}},
	} {
		run, text := replay(step.arguments)
		if run == "" {
			t.Fatalf("%s: %s", step.arguments, text)
		}
		a.followed(t, run)
		var got struct {
			Run struct {
				State, Trigger string
				Progress       struct {
					Done     int
					Total    *int
					Fraction float64
				}
				Type         string
				Dates        []string
				ModelVersion int
				Counts       counts
			}
		}
		a.data(t, &got, fmt.Sprintf(asked, run), nil)
		if r := got.Run; r.Trigger != "MUTATION" || r.Type != "WEEKLY" || len(r.Dates) != 5 || r.Dates[0] != "1998-05-03" || r.ModelVersion != step.model || r.Counts != step.want || r.Progress.Fraction != 1 {
			t.Errorf("%s: %+v, want model %d and %+v", step.arguments, r, step.model, step.want)
		}
	}
	first, _ := replay(month + `, modelVersion: 1, idempotencyKey: "two"`)
	if again, _ := replay(month + `, modelVersion: 1, idempotencyKey: "two"`); again != first {
		t.Errorf("one key gave the runs %s and %s", first, again)
	}
	a.followed(t, first)
	for arguments, want := range map[string]string{
		`from: "1998-05-01", to: "1998-05-01"`:              `["input","to"]`,
		`from: "1998-05-01", to: "2030-01-01"`:              `["input","to"]`,
		`from: "1998-05-04", to: "1998-05-05"`:              `"InvalidInputError"`,
		`from: "1990-01-01", to: "1998-05-05", type: DAILY`: `at most 1000`,
		month + `, onConflict: FAIL`:                        `["input","onConflict"]`,
		month + `, modelVersion: 3`:                         `"NotFoundError","code":"NOT_FOUND","field":["input","modelVersion"]`,
		month + `, modelVersion: 0`:                         `"NotFoundError"`,
	} {
		if run, text := replay(arguments); !strings.Contains(text, want) {
			t.Errorf("%s: run %q, want %s in %s", arguments, run, want, text)
		} else if run != "" {
			a.followed(t, run)
		}
	}
}

func TestExportAndEraseCustomer(t *testing.T) {
	t.Parallel()
	a, store := newPastAPI(t)
	a.replayPast(t, store, "1998-04-01", "1998-04-20")
	var found struct{ Customer struct{ ID string } }
	a.data(t, &found, `{ customer(by: {key: {storeId: "past", customerId: "refunded"}}) { id } }`, nil)
	variables := map[string]any{"id": found.Customer.ID}
	var exported struct {
		ExportCustomer struct {
			Document   json.RawMessage
			UserErrors []userError
		}
	}
	const export = `mutation ($id: ID!) { exportCustomer(input: {customer: {id: $id}}) { document userErrors { __typename field } } }`
	a.data(t, &exported, export, variables)
	var document struct {
		Store      string `json:"store"`
		CustomerID string `json:"customer_id"`
		TotalValue string `json:"total_value"`
		Orders     []struct {
			OrderID string `json:"order_id"`
			Lines   []struct {
				Net, Refund string
				RefundedAt  string `json:"refunded_at"`
			}
		}
		Snapshots []struct {
			Date        string
			TotalValue  string                        `json:"total_value"`
			Memberships map[string]map[string]float64 `json:"fuzzy_memberships"`
		}
		DriftEvents []any `json:"drift_events"`
	}
	check(t, json.Unmarshal(exported.ExportCustomer.Document, &document))
	if document.Store != "past" || document.CustomerID != "refunded" || document.TotalValue != "40.00" || len(document.Snapshots) != 3 {
		t.Errorf("%s", exported.ExportCustomer.Document)
	}
	if o := document.Orders; len(o) != 1 || o[0].OrderID != "r" || len(o[0].Lines) != 1 || o[0].Lines[0].Net != "100.00" || o[0].Lines[0].Refund != "60.00" || o[0].Lines[0].RefundedAt != "1998-04-10T05:00:00Z" {
		t.Errorf("%s", exported.ExportCustomer.Document)
	}
	// The snapshots tell what was known on their days.
	if s := document.Snapshots; s[0].TotalValue != "100.00" || s[2].TotalValue != "40.00" || len(s[0].Memberships["purchase_value"]) == 0 {
		t.Errorf("%+v", s)
	}

	var erased struct {
		EraseCustomer struct {
			Receipt *struct {
				ReceiptID, ErasedAt, StoreID          string
				Orders, OrderLines, Snapshots, Events int
				Hash, Salt                            string
			}
			UserErrors []userError
		}
	}
	const erase = `mutation ($id: ID!) { eraseCustomer(input: {customer: {id: $id}}) { receipt { receiptId erasedAt storeId orders orderLines snapshots events hash salt } userErrors { __typename field } } }`
	a.data(t, &erased, erase, variables)
	receipt := erased.EraseCustomer.Receipt
	if receipt == nil || receipt.StoreID != "past" || receipt.Orders != 1 || receipt.OrderLines != 1 || receipt.Snapshots != 3 || receipt.Events != len(document.DriftEvents) {
		t.Fatalf("%+v", erased)
	}
	hash := sha256.Sum256([]byte(receipt.Salt + string(exported.ExportCustomer.Document) + "\n"))
	if hex.EncodeToString(hash[:]) != receipt.Hash {
		t.Errorf("the hash %s is not that of the salt and the document", receipt.Hash)
	}
	for _, again := range []string{erase, export} {
		if r := a.query(t, again, variables); !strings.Contains(r.Text, `"NotFoundError","field":["input","customer"]`) || len(r.Errors) > 0 {
			t.Errorf("once more: %s", r.Text)
		}
	}
	r := a.query(t, `query ($id: ID!) { node(id: $id) { id } customer(by: {key: {storeId: "past", customerId: "refunded"}}) { id }
  customers(filter: {storeId: "past", customerIdPrefix: "refunded"}, first: 1) { totalCount } }`, variables)
	if !strings.Contains(r.Text, `"node":null,"customer":null,"customers":{"totalCount":0}`) {
		t.Errorf("afterwards: %s", r.Text)
	}
	for _, by := range []string{`id: "abc"`, `key: {storeId: "past", customerId: "nobody"}`, `key: {storeId: "nowhere", customerId: "nobody"}`} {
		r := a.query(t, `mutation { eraseCustomer(input: {customer: {`+by+`}}) { receipt { hash } userErrors { __typename field } } }`, nil)
		if len(r.Errors) > 0 || !strings.Contains(r.Text, `["input","customer"]`) || !strings.Contains(r.Text, `"receipt":null`) {
			t.Errorf("%s: %s", by, r.Text)
		}
	}
}

// TestRunsOverHTTP starts runs by keys, cancels one, lets one fail, and reads what became of them.
func TestRunsOverHTTP(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	type run struct {
		ID, Kind, State, Failure string
		Seconds                  float64
		FinishedAt               *string
		Progress                 struct{ Fraction float64 }
	}
	start := func(mutation string) (run, string) {
		t.Helper()
		r := a.query(t, `mutation { m: `+mutation+` { run { id kind state failure } userErrors { code ... on RunInProgressError { run { id } } } } }`, nil)
		var got struct{ M struct{ Run *run } }
		check(t, json.Unmarshal(r.Data, &got))
		if got.M.Run == nil {
			return run{}, r.Text
		}
		return *got.M.Run, r.Text
	}
	const recluster = `recluster(input: {storeId: "shop", idempotencyKey: "a"})`
	first, text := start(recluster)
	if first.State != "QUEUED" {
		t.Fatal(text)
	}
	for _, same := range []string{recluster, recluster} {
		if again, text := start(same); again.ID != first.ID {
			t.Errorf("the same key gave %s", text)
		}
	}
	if _, text := start(`recluster(input: {storeId: "shop", idempotencyKey: "b"})`); !strings.Contains(text, "RUN_IN_PROGRESS") || !strings.Contains(text, first.ID) {
		t.Errorf("another key, while the first run waits: %s", text)
	}
	cleanup, text := start(`cleanupSnapshots(input: {storeId: "shop", idempotencyKey: "a"})`) // a key belongs to a kind
	if again, _ := start(`cleanupSnapshots(input: {storeId: "shop", idempotencyKey: "a"})`); cleanup.Kind != "CLEANUP" || again.ID != cleanup.ID {
		t.Errorf("cleanups by one key: %s, then %s", text, again.ID)
	}
	if other, _ := start(`cleanupSnapshots(input: {storeId: "shop", idempotencyKey: "b"})`); other.ID == cleanup.ID || other.ID == "" {
		t.Errorf("another key gave run %q", other.ID)
	}
	cancel := `mutation ($run: ID!) { cancelRun(input: {runId: $run}) { run { state } userErrors { code ... on RunFinishedError { run { id } } } } }`
	if r := a.query(t, cancel, map[string]any{"run": first.ID}); !strings.Contains(r.Text, `"CANCELLED"`) {
		t.Errorf("cancelling: %s", r.Text)
	}
	if r := a.query(t, cancel, map[string]any{"run": first.ID}); !strings.Contains(r.Text, `"RUN_FINISHED"`) || !strings.Contains(r.Text, first.ID) {
		t.Errorf("cancelling again: %s", r.Text)
	}
	if again, text := start(recluster); again.ID != first.ID || again.State != "CANCELLED" {
		t.Errorf("the key of a cancelled run gave %s", text)
	}
	failing, text := start(`recluster(input: {storeId: "shop", idempotencyKey: "fails", asOf: "1950-01-01"})`)
	if failing.ID == "" {
		t.Fatal(text)
	}
	a.work(t)
	read := func(id string) (r run) {
		t.Helper()
		var got struct{ Run run }
		a.data(t, &got, `query ($id: ID!) { run(id: $id) { id kind state failure seconds finishedAt progress { fraction } } }`, map[string]any{"id": id})
		return got.Run
	}
	for !slices.Contains([]string{"SUCCEEDED", "FAILED"}, read(failing.ID).State) || read(cleanup.ID).FinishedAt == nil {
		if t.Context().Err() != nil {
			t.Fatal("the runs do not end")
		}
	}
	if r := read(failing.ID); r.State != "FAILED" || !strings.HasPrefix(r.Failure, `store "shop" has no purchase before 1950-01-01`) || r.Seconds < 0 {
		t.Errorf("the run that was to fail is %+v", r)
	}
	if r := read(cleanup.ID); r.State != "SUCCEEDED" || r.Failure != "" || r.Progress.Fraction != 1 || r.Seconds <= 0 {
		t.Errorf("the cleanup is %+v", r)
	}
	if r := read(first.ID); r.State != "CANCELLED" || r.FinishedAt == nil {
		t.Errorf("the cancelled run is %+v", r)
	}
}

// TestKeysOverHTTP sends calls with one key and other arguments: INVALID, with the run that the key has started. Named customers'
// snapshots have no run, and give the first answer again, faults and all.
func TestKeysOverHTTP(t *testing.T) {
	t.Parallel()
	a, _ := newPastAPI(t)
	type answer struct {
		Run        *struct{ ID string }
		Counts     *counts
		UserErrors []struct {
			Typename string `json:"__typename"`
			Code     string
			Message  string
			Field    []string
			Snapshot *struct{ Date string }
		}
	}
	call := func(mutation, input, more string) (got answer, text string) {
		t.Helper()
		r := a.query(t, `mutation { m: `+mutation+`(input: {`+input+`}) { `+more+` userErrors { __typename code message field ... on SnapshotExistsError { snapshot { date } } } } }`, nil)
		var data struct{ M answer }
		check(t, json.Unmarshal(r.Data, &data))
		return data.M, r.Text
	}
	for mutation, inputs := range map[string][2]string{
		"recluster":        {`seed: 1`, `seed: 1, options: {k: 3}`},
		"replaySnapshots":  {`type: WEEKLY, from: "1998-05-01", to: "1998-05-20"`, `type: WEEKLY, from: "1998-05-01", to: "1998-05-19"`},
		"createSnapshots":  {`type: WEEKLY`, `type: WEEKLY, customerIds: ["p001"]`},
		"cleanupSnapshots": {``, `types: [DAILY]`},
		"backtest":         {`seed: 1, horizonDays: 30, ruleDays: 30, warmupDays: 30`, `seed: 2, horizonDays: 30, ruleDays: 30, warmupDays: 30`},
	} {
		const key = `storeId: "past", idempotencyKey: "k", `
		first, text := call(mutation, key+inputs[0], "run { id }")
		if first.Run == nil {
			t.Fatalf("%s: %s", mutation, text)
		}
		if again, text := call(mutation, key+inputs[0], "run { id }"); again.Run == nil || again.Run.ID != first.Run.ID {
			t.Errorf("%s: again: %s", mutation, text)
		}
		other, text := call(mutation, key+inputs[1], "run { id }")
		if e := other.UserErrors; other.Run != nil || len(e) != 1 || e[0].Code != "INVALID" || !strings.Contains(e[0].Message, first.Run.ID) || cmp.Diff(e[0].Field, []string{"input", "idempotencyKey"}) != "" {
			t.Errorf("%s: other arguments: %s", mutation, text)
		}
	}
	const named = `storeId: "past", type: MONTHLY, date: "1998-06-01", onConflict: FAIL, idempotencyKey: "named", customerIds: ["p001", "nobody", "p002", "p001"]`
	const more = `run { id } counts { created kept replaced failed }`
	if one, text := call("createSnapshots", `storeId: "past", type: MONTHLY, date: "1998-06-01", customerIds: ["p002"]`, more); one.Counts == nil || one.Counts.Created != "1" {
		t.Fatal(text)
	}
	first, text := call("createSnapshots", named, more)
	if want := (counts{Created: "1", Kept: "0", Replaced: "0", Failed: "2"}); first.Counts == nil || *first.Counts != want || len(first.UserErrors) != 2 || first.UserErrors[1].Snapshot == nil {
		t.Fatal(text)
	}
	if again, text := call("createSnapshots", named, more); cmp.Diff(first, again) != "" {
		t.Errorf("again: %s", text)
	}
	if other, text := call("createSnapshots", strings.Replace(named, "p002", "p003", 1), more); len(other.UserErrors) != 1 || other.UserErrors[0].Code != "INVALID" || other.Counts != nil {
		t.Errorf("other customers: %s", text)
	}
}
