package engine

import "strconv"

// SegmentAt gives the index in Segments of the n-th root or leaf; -1 where there is none.
func (a *AxisModel) SegmentAt(level Level, n int) int {
	if n < 0 {
		return -1
	}
	for i := range a.Segments {
		s := &a.Segments[i]
		if level == LevelLeaves {
			if s.Leaf == n {
				return i
			}
			continue
		}
		if s.Parent < 0 {
			if n == 0 {
				return i
			}
			n--
		}
	}
	return -1
}

// Subtree gives the end of a segment's descendants: those of segment i are i+1 up to before the end.
func (a *AxisModel) Subtree(i int) int {
	end := i + 1
	for end < len(a.Segments) && a.Segments[end].Depth > a.Segments[i].Depth {
		end++
	}
	return end
}

// leavesOf is the axis's part of a thumbprint; nil where there are no memberships.
func (a *AxisModel) leavesOf(t Thumbprint) []int16 {
	if a.Status != AxisOn || a.Leaves == 0 || a.First+a.Leaves > len(t.Membership) || t.Membership[a.First] < 0 {
		return nil
	}
	return t.Membership[a.First : a.First+a.Leaves]
}

// Path goes down an axis's tree, at each level to the child with the largest membership (the first of equal ones), and
// gives the indices in AxisModel.Segments from the root on; nil where there are no memberships. Its end is the leaf that
// Thumbprint.Dominant names; another leaf may have a larger membership.
func (m *Model) Path(axis int, t Thumbprint) []int {
	a := &m.Axes[axis]
	leaves := a.leavesOf(t)
	if leaves == nil {
		return nil
	}
	var path []int
	next, end := 0, len(a.Segments)
	for next < end {
		best, bestSum := -1, -1
		for i := next; i < end; i = a.Subtree(i) {
			sum := 0
			for _, s := range a.Segments[i:a.Subtree(i)] {
				if s.Leaf >= 0 {
					sum += int(leaves[s.Leaf])
				}
			}
			if sum > bestSum {
				best, bestSum = i, sum
			}
		}
		path = append(path, best)
		next, end = best+1, a.Subtree(best)
	}
	return path
}

// LeafRange gives the first and the last leaf of a segment, which are in a row.
func (a *AxisModel) LeafRange(i int) (first, last int) {
	first = -1
	for _, s := range a.Segments[i:a.Subtree(i)] {
		if s.Leaf >= 0 {
			last = s.Leaf
			if first < 0 {
				first = s.Leaf
			}
		}
	}
	return first, last
}

// NumberSegments gives every segment its path and every leaf its place, by the order in which they stand.
func (a *AxisModel) NumberSegments() {
	a.Leaves = 0
	roots := 0
	for i := range a.Segments {
		s := &a.Segments[i]
		if s.Parent < 0 {
			s.Path = "seg_" + strconv.Itoa(roots)
			roots++
		}
		for n, c := range s.Children {
			a.Segments[c].Path = s.Path + "." + strconv.Itoa(n)
		}
		s.Leaf = -1
		if len(s.Children) == 0 {
			s.Leaf = a.Leaves
			a.Leaves++
		}
	}
}

// PlaceLeaves lays the axes' leaves out in the thumbprint.
func (m *Model) PlaceLeaves() {
	next := 0
	for i := range m.Axes {
		m.Axes[i].First = next
		next += m.Axes[i].Leaves
	}
}

// StopReason says why a leaf was kept whole: SIZE, DEPTH, COHESIVE or NO_USEFUL_SPLIT where the hierarchy looked at it; the
// kind of a stratum that cannot be divided; NO_STRUCTURE where no feature varies; NOT_CLUSTERED for those beside the strata
// where they are too few or too alike to be clustered; HIERARCHY_OFF. It is empty for a segment that was divided.
func (a *AxisModel) StopReason(i int) string {
	s := &a.Segments[i]
	switch {
	case len(s.Children) > 0:
		return ""
	case s.Division.StoppedBy != "":
		return s.Division.StoppedBy
	case s.Stratum == StratumNeverReturned || s.Stratum == StratumIdentical:
		return string(s.Stratum)
	case len(s.Center) == 0:
		return "NO_STRUCTURE"
	case s.Stratum == StratumNone && a.Fit == nil:
		return "NOT_CLUSTERED"
	default:
		return "HIERARCHY_OFF"
	}
}
