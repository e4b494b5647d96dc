package cli

import (
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/quimbi/quimbi/engine"
)

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// bar shows how far long work is; nil where nobody looks.
type bar struct {
	shown *progressbar.ProgressBar
	title string
}

func (a *app) bar(title string) *bar {
	if !isTerminal(a.errOut) {
		return nil
	}
	return &bar{title: title, shown: progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(a.errOut), progressbar.OptionSetDescription(title), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(false))}
}

// follow shows a run.
func (b *bar) follow(run *engine.Run) {
	if b == nil {
		return
	}
	if run.Total > 0 {
		b.shown.ChangeMax(run.Total)
	}
	title := b.title
	if run.Axis != "" {
		title += " " + run.Axis
	}
	b.shown.Describe(title)
	_ = b.shown.Set(run.Done) // a bar that cannot be drawn stops no work
}

// count shows a number of rows.
func (b *bar) count(rows int64) {
	if b != nil {
		_ = b.shown.Set64(rows)
	}
}

func (b *bar) end() {
	if b != nil {
		_ = b.shown.Finish()
	}
}
