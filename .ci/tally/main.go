// Command tally runs the checks of CI one after the other, shows the output of what fails, and closes with one line:
// "N passed, N failed". Top-level tests are counted; a check or a package that fails without a failing test counts as
// one failure. Its arguments are the packages that are tested a second time without the race detector, under which they leave
// tests out, and with vector instructions where there are any.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

func main() {
	t := newTally(os.Stdout)
	for _, target := range []string{"verify", "lint"} {
		t.check(target, exec.Command("make", "--no-print-directory", target))
	}
	// Two packages at a time: their tests use every core already, and a database besides.
	common := []string{"test", "-json", "-count=1", "-p=2", "-vet=off", "-timeout=15m"}
	t.tests("tests with the race detector", exec.Command("go", append(common, "-race", "./...", "./.ci/tally")...))
	if packages := os.Args[1:]; len(packages) > 0 {
		again := exec.Command("go", append(common, packages...)...)
		name := "tests without the race detector"
		if runtime.GOARCH == "amd64" {
			again.Env = append(os.Environ(), "GOEXPERIMENT=simd")
			name += ", with vector instructions"
		}
		t.tests(name, again)
	}
	os.Exit(t.close())
}

// A tally counts outcomes and keeps the output of tests until it is known whether anybody needs to see it.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	output                  map[string]*strings.Builder // by package, a space, top-level test ("" for the package itself)
	blamed                  map[string]bool             // packages with a failing test
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, output: map[string]*strings.Builder{}, blamed: map[string]bool{}}
}

// check runs a command that has one outcome.
func (t *tally) check(name string, cmd *exec.Cmd) {
	fmt.Fprintf(t.out, "== %s\n", name)
	cmd.Stdout, cmd.Stderr = t.out, t.out
	if err := cmd.Run(); err != nil {
		t.failed++
		fmt.Fprintf(t.out, "FAIL %s: %v\n", name, err)
	}
}

// tests runs a `go test -json` command and counts its tests.
func (t *tally) tests(name string, cmd *exec.Cmd) {
	fmt.Fprintf(t.out, "== %s\n", name)
	start, before := time.Now(), t.failed
	err := func() error {
		cmd.Stderr = os.Stderr
		events, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		return errors.Join(t.read(events), cmd.Wait())
	}()
	if err != nil && t.failed == before {
		t.failed++
		fmt.Fprintf(t.out, "FAIL %s: %v\n", name, err)
	}
	fmt.Fprintf(t.out, "%s: %.0f s\n", name, time.Since(start).Seconds())
}

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// read counts the events of one run. Lines that are no events are shown as they are.
func (t *tally) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(t.out, line)
			} else {
				t.event(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tally) event(e event) {
	top, _, isSub := strings.Cut(e.Test, "/")
	key := e.Package + " " + top
	switch {
	case e.Action == "build-output":
		fmt.Fprint(t.out, e.Output)
	case e.Action == "output":
		if t.output[key] == nil {
			t.output[key] = &strings.Builder{}
		}
		t.output[key].WriteString(e.Output)
	case isSub:
	case e.Test == "":
		t.packageDone(e)
	case e.Action == "pass":
		t.passed++
		delete(t.output, key)
	case e.Action == "skip":
		t.skipped++
		t.show(key)
	case e.Action == "fail":
		t.failed++
		t.blamed[e.Package] = true
		t.show(key)
	}
}

// packageDone prints a package's line. What is left of its output belongs to tests that never ended, as after a panic
// or a timeout.
func (t *tally) packageDone(e event) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(t.out, "ok   %s %.1f s\n", e.Package, e.Elapsed)
	case "fail":
		if !t.blamed[e.Package] {
			t.failed++
		}
		for key := range t.output {
			if strings.HasPrefix(key, e.Package+" ") {
				t.show(key)
			}
		}
		fmt.Fprintf(t.out, "FAIL %s %.1f s\n", e.Package, e.Elapsed)
	case "skip": // no tests
	default:
		return
	}
	delete(t.blamed, e.Package) // the next run may test the package again
	for key := range t.output {
		if strings.HasPrefix(key, e.Package+" ") {
			delete(t.output, key)
		}
	}
}

func (t *tally) show(key string) {
	if text := t.output[key]; text != nil {
		fmt.Fprint(t.out, text.String())
	}
	delete(t.output, key)
}

// close prints the last line and gives the exit code. A run without any test is no success.
func (t *tally) close() int {
	if t.skipped > 0 {
		fmt.Fprintf(t.out, "%d tests were skipped, with their reasons above\n", t.skipped)
	}
	fmt.Fprintf(t.out, "%d passed, %d failed\n", t.passed, t.failed)
	if t.failed > 0 || t.passed == 0 {
		return 1
	}
	return 0
}
