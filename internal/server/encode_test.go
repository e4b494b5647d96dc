package server

import (
	"encoding/json"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/google/go-cmp/cmp"
)

// Answers are put together by hand; they must hold what encoding/json would write.
func TestAnswersAreWhatJSONWouldWrite(t *testing.T) {
	t.Parallel()
	failed := gqlerror.List{{Message: `a "fault" <b>`, Extensions: map[string]any{"code": "NOT_FOUND"}}}
	for name, c := range map[string]struct {
		response graphql.Response
		want     string
	}{
		"data":                 {graphql.Response{Data: json.RawMessage(`{"a":1}`)}, `{"data":{"a":1}}`},
		"data and extensions":  {graphql.Response{Data: json.RawMessage(`{}`), Extensions: map[string]any{"cost": 3}}, `{"data":{},"extensions":{"cost":3}}`},
		"data that is null":    {graphql.Response{Data: json.RawMessage(`null`), Errors: failed}, `{"errors":[{"message":"a \"fault\" <b>","extensions":{"code":"NOT_FOUND"}}],"data":null}`},
		"nothing that has run": {graphql.Response{Errors: failed}, `{"errors":[{"message":"a \"fault\" <b>","extensions":{"code":"NOT_FOUND"}}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := encoded(&c.response)
			if err != nil {
				t.Fatal(err)
			}
			var got, want any
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
