package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
)

// TestRecognise holds that a shop's export is recognised by its beginning, also one that is cut there within a quoted value, and that a
// file of something else is refused.
func TestRecognise(t *testing.T) {
	t.Parallel()
	var export strings.Builder
	export.WriteString("Name,Email,Financial Status,Created at,Lineitem quantity,Lineitem name,Lineitem price\n")
	for i := 0; export.Len() < 2*recognisedBy; i++ {
		fmt.Fprintf(&export, "#%d,ann@x.com,paid,2026-01-01 10:00:00 +0000,1,\"Tea,\n%d kinds%s\",4\n", i, i, strings.Repeat(" of it", 50))
	}
	file := strings.NewReader(export.String())
	if err := recognise(t.Context(), file, ingest.Options{}); err != nil {
		t.Error(err)
	}
	if read := export.Len() - file.Len(); read > recognisedBy {
		t.Errorf("%d bytes were read", read)
	}
	for name, text := range map[string]string{
		"of products":    "sku,category\ntea,drinks\n",
		"without e-mail": strings.Replace(export.String(), "Email", "Note", 1),
	} {
		if err := recognise(t.Context(), strings.NewReader(text), ingest.Options{}); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("a file %s: %v", name, err)
		}
	}
}
