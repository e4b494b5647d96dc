package server

import (
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"
)

// What is kept of documents is bounded in number and in length.
func TestKeptDocumentsAreShort(t *testing.T) {
	t.Parallel()
	documents := shortDocuments{lru.New[*ast.QueryDocument](2)}
	texts := shortTexts{lru.New[string](2)}
	for length, want := range map[int][2]bool{parsedBytes: {true, true}, parsedBytes + 1: {false, true}, textBytes + 1: {false, false}} {
		text := strings.Repeat("x", length)
		documents.Add(t.Context(), text, new(ast.QueryDocument))
		texts.Add(t.Context(), "hash", text)
		_, read := documents.Get(t.Context(), text)
		kept, _ := texts.Get(t.Context(), "hash")
		if read != want[0] || (kept == text) != want[1] {
			t.Errorf("%d bytes: the document is kept: %v, the text: %v, want %v", length, read, kept == text, want)
		}
	}
}
