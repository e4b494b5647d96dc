package server

import (
	"strings"

	"github.com/vektah/gqlparser/v2/formatter"

	"github.com/quimbi/quimbi/graph"
)

// Schema gives the whole schema in the schema definition language, with every description: what clients generate code from.
func Schema() string {
	var text strings.Builder
	schema := graph.NewExecutableSchema(graph.Config{}).Schema()
	formatter.NewFormatter(&text, formatter.WithIndent("  ")).FormatSchema(schema)
	return text.String()
}
