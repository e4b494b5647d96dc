package resolvers

import (
	"bytes"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
)

// TestSaid holds that a call asks for the same when the program comes to know further fields, and for another thing when it says one.
func TestSaid(t *testing.T) {
	t.Parallel()
	schema := func(text string) *ast.Schema {
		t.Helper()
		s, err := gqlparser.LoadSchema(&ast.Source{Input: "type Query { a: Int } " + text})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	asked := func(s *ast.Schema, text string) string {
		t.Helper()
		said, err := said(s, "In", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return string(said)
	}
	before := schema(`input In { store: String! ways: Ways } input Ways { k: Int }`)
	now := schema(`enum On { KEEP FAIL } input In { all: Boolean! = true on: On! = KEEP sure: Float date: String store: String! ways: Ways } input Ways { least: Int! = 3 k: Int }`)
	earlier := asked(before, `{"store": "s", "ways": {"k": 2}}`)
	for text, same := range map[string]bool{
		`{"all":true,"on":"KEEP","sure":null,"store":"s","ways":{"least":3,"k":2}}`:             true,
		`{"all":false,"on":"KEEP","sure":null,"store":"s","ways":{"least":3,"k":2}}`:            false,
		`{"all":true,"on":"FAIL","sure":null,"store":"s","ways":{"least":3,"k":2}}`:             false,
		`{"all":true,"on":"KEEP","sure":0,"store":"s","ways":{"least":3,"k":2}}`:                false,
		`{"all":true,"on":"KEEP","sure":null,"date":"","store":"s","ways":{"least":3,"k":2}}`:   false,
		`{"all":true,"on":"KEEP","sure":null,"store":"s","ways":{"least":0,"k":2}}`:             false,
		`{"all":true,"on":"KEEP","sure":null,"store":"s","ways":{"least":3,"k":null}}`:          false,
		`{"all":true,"on":"KEEP","sure":null,"store":"other","ways":{"least":3,"k":2}}`:         false,
		`{"ways":{"k":2,"least":3},"store":"s","sure":null,"on":"KEEP","all":true,"date":null}`: true,
	} {
		if got := asked(now, text); (got == earlier) != same {
			t.Errorf("%s asks for %s, before %s", text, got, earlier)
		}
	}
}

// TestOnce holds that every call with a key is told from others.
func TestOnce(t *testing.T) {
	t.Parallel()
	key, other := "key", 12
	for _, c := range []struct{ one, two any }{
		{model.ReclusterInput{StoreID: "s", IdempotencyKey: &key}, model.ReclusterInput{StoreID: "s", IdempotencyKey: &key, Options: &model.ClusteringOptionsInput{K: &other}}},
		{model.CreateSnapshotsInput{StoreID: "s", Type: engine.Daily}, model.CreateSnapshotsInput{StoreID: "s", Type: engine.Daily, OnConflict: model.SnapshotConflictFail}},
		{model.ReplaySnapshotsInput{StoreID: "s", Type: engine.Daily, From: 3, To: 5}, model.ReplaySnapshotsInput{StoreID: "s", Type: engine.Daily, From: 3, To: 6}},
		{model.CleanupSnapshotsInput{}, model.CleanupSnapshotsInput{Types: []engine.SnapshotType{engine.Daily}}},
		{model.BacktestInput{StoreID: "s", RuleDays: 90}, model.BacktestInput{StoreID: "s", RuleDays: 91}},
	} {
		one, err := once(&key, c.one)
		if err != nil {
			t.Fatal(err)
		}
		two, err := once(&key, c.two)
		if err != nil || len(one.Asked) == 0 || bytes.Equal(one.Asked, two.Asked) {
			t.Errorf("%+v and %+v are told apart by %x and %x (%v)", c.one, c.two, one.Asked, two.Asked, err)
		}
	}
}
