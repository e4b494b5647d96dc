package cli

import (
	"io"

	"github.com/quimbi/quimbi/internal/server"
)

type schemaCommand struct{}

// Run prints the API's schema; it needs no database.
func (*schemaCommand) Run(a *app) error {
	schema := server.Schema()
	return a.print(map[string]string{"schema": schema}, func(w io.Writer) { _, _ = io.WriteString(w, schema) })
}
