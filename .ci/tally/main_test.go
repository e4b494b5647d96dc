package main

import (
	"strings"
	"testing"
)

func TestTallyCountsTopLevelTests(t *testing.T) {
	t.Parallel()
	const events = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"TestA/sub"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB/sub","Output":"loud\n"}
{"Action":"fail","Package":"p","Test":"TestB/sub"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p"}
{"ImportPath":"q","Action":"build-output","Output":"undefined: x\n"}
{"ImportPath":"q","Action":"build-fail"}
{"Action":"fail","Package":"q","FailedBuild":"q"}
{"Action":"run","Package":"r","Test":"TestNeverEnds"}
{"Action":"output","Package":"r","Test":"TestNeverEnds","Output":"last words\n"}
{"Action":"fail","Package":"r"}
no event at all
`
	var out strings.Builder
	tally := newTally(&out)
	if err := tally.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	if code := tally.close(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, want := range []string{"loud\n", "undefined: x\n", "last words\n", "no event at all\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q", want)
		}
	}
	if strings.Contains(out.String(), "quiet") {
		t.Error("the output of a passing test is shown")
	}
	if !strings.HasSuffix(out.String(), "\n1 passed, 3 failed\n") {
		t.Errorf("closing line of %q", out.String())
	}
}

func TestTallyOfNothingIsNoSuccess(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if code := newTally(&out).close(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}
