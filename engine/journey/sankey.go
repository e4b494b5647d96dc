package journey

import "slices"

// Sankey is a diagram of flows: every node but those of NEW, which only give, takes in what it gives, except on the first and the last
// date.
type Sankey struct {
	Nodes []Node
	Links []Link
}

// Node is a state on a date.
type Node struct {
	Date  int // place in the journey's dates
	State int // -1: small flows of the step after Date, run together
	Value float64
}

// Link is a flow between two nodes.
type Link struct {
	From, To int // places in Nodes
	Value    float64
}

// Sankey draws the flows from each date to the next: of customers, or soft ones of membership. Flows under minShare of all of
// their step go through a node of their own, so that nothing is lost.
func (j *Journey) Sankey(soft bool, minShare float64) *Sankey {
	flows := j.Flows
	if !soft {
		flows = j.hardFlows()
	}
	s := &Sankey{}
	before := s.column(0, len(j.States))
	for t, flow := range flows {
		after := s.column(t+1, len(j.States))
		s.step(t, flow, before, after, minShare)
		before = after
	}
	return s.compact()
}

func (j *Journey) hardFlows() []Matrix {
	flows := make([]Matrix, max(0, len(j.Dates)-1))
	fresh := j.index(New)
	for t := range flows {
		flows[t] = newMatrix(len(j.States))
		for _, w := range j.Ways {
			addSteps(flows[t], w.At[t:t+2], fresh, 1, float64(w.Customers))
		}
	}
	return flows
}

// column adds a node for each state on a date and gives the first one's place.
func (s *Sankey) column(date, states int) int {
	first := len(s.Nodes)
	for i := range states {
		s.Nodes = append(s.Nodes, Node{Date: date, State: i})
	}
	return first
}

func (s *Sankey) step(t int, flow Matrix, before, after int, minShare float64) {
	all := 0.0
	for _, row := range flow {
		all += total(row)
	}
	given, taken := make([]float64, len(flow)), make([]float64, len(flow))
	small := 0.0
	for i, row := range flow {
		for k, f := range row {
			switch {
			case f <= 0:
			case f < minShare*all:
				given[i] += f
				taken[k] += f
				small += f
			default:
				s.link(before+i, after+k, f)
			}
		}
	}
	if small == 0 {
		return
	}
	other := len(s.Nodes)
	s.Nodes = append(s.Nodes, Node{Date: t, State: -1})
	for i := range flow {
		s.link(before+i, other, given[i])
	}
	for k := range flow {
		s.link(other, after+k, taken[k])
	}
}

func (s *Sankey) link(from, to int, value float64) {
	if value > 0 {
		s.Links = append(s.Links, Link{from, to, value})
	}
}

// compact drops nodes without a flow and fills in the values of the others.
func (s *Sankey) compact() *Sankey {
	in, out := make([]float64, len(s.Nodes)), make([]float64, len(s.Nodes))
	for _, l := range s.Links {
		out[l.From] += l.Value
		in[l.To] += l.Value
	}
	place := make([]int, len(s.Nodes))
	kept := 0
	for i, n := range s.Nodes {
		if n.Value = max(in[i], out[i]); n.Value > 0 {
			place[i] = kept
			s.Nodes[kept] = n
			kept++
		}
	}
	s.Nodes = slices.Clip(s.Nodes[:kept])
	for i := range s.Links {
		s.Links[i].From, s.Links[i].To = place[s.Links[i].From], place[s.Links[i].To]
	}
	return s
}
