package journey

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// balanced checks that every node but the outer ones and NEW takes in what it gives, and that no flow is lost.
func balanced(t interface{ Fatalf(string, ...any) }, j *Journey, s *Sankey, want float64) {
	in, out := make([]float64, len(s.Nodes)), make([]float64, len(s.Nodes))
	for _, l := range s.Links {
		out[l.From] += l.Value
		in[l.To] += l.Value
	}
	given := 0.0
	for i, n := range s.Nodes {
		if n.State >= 0 {
			given += out[i]
		}
		source := n.State >= 0 && (n.Date == 0 || j.States[n.State].Kind == New)
		sink := n.State >= 0 && n.Date == len(j.Dates)-1
		if !source && !sink && math.Abs(in[i]-out[i]) > 1e-9 {
			t.Fatalf("node %+v takes %v and gives %v", n, in[i], out[i])
		}
		if source && in[i] != 0 || sink && out[i] != 0 {
			t.Fatalf("node %+v takes %v and gives %v", n, in[i], out[i])
		}
		if math.Abs(n.Value-max(in[i], out[i])) > 1e-9 || n.Value <= 0 {
			t.Fatalf("node %+v has %v and %v", n, in[i], out[i])
		}
	}
	if math.Abs(given-want) > 1e-6 {
		t.Fatalf("%v flows in all, want %v", given, want)
	}
}

func TestSankeyByHand(t *testing.T) {
	t.Parallel()
	j := byHand()
	s := j.Sankey(false, 0.2)
	// The last step has 11 customers: 4 from A to B, 3 from B to B, 2 from A to A; LAPSED to LAPSED and to B, 1 each, are under 2.2
	// as the 2 from A to A are.
	last := map[Link]bool{}
	for _, l := range s.Links {
		if s.Nodes[l.From].Date == 2 || s.Nodes[l.To].Date == 3 {
			last[Link{s.Nodes[l.From].State, s.Nodes[l.To].State, l.Value}] = true
		}
	}
	for _, want := range []Link{{0, 1, 4}, {1, 1, 3}, {0, -1, 2}, {3, -1, 2}, {-1, 0, 2}, {-1, 1, 1}, {-1, 3, 1}} {
		if !last[want] {
			t.Errorf("no link %+v in %v", want, last)
		}
	}
	if len(last) != 7 {
		t.Errorf("%d links in the last step: %v", len(last), last)
	}
	one, _ := j.Counts()
	balanced(t, j, s, total(one[0])+total(one[1])+total(one[2])+total(one[3]))
}

func TestSankeyBalances(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		j := drawn(t)
		share := rapid.SampledFrom([]float64{0, 0.005, 0.1, 0.5}).Draw(t, "share")
		one, _ := j.Counts()
		want := 0.0
		for i := range one {
			want += total(one[i])
		}
		s := j.Sankey(false, share)
		balanced(t, j, s, want)
		steps := make([]float64, len(j.Dates))
		for _, l := range s.Links {
			if n := s.Nodes[l.From]; n.State >= 0 {
				steps[n.Date] += l.Value
			}
		}
		for _, l := range s.Links {
			if from := s.Nodes[l.From]; from.State >= 0 && s.Nodes[l.To].State >= 0 && l.Value < share*steps[from.Date] {
				t.Fatalf("a flow of %v of %v", l.Value, steps[from.Date])
			}
		}
	})
}
