package journey

// Couple adds to flow, rows from and columns to, how the memberships before became those after, keeping as much as possible in
// place:
//
//	f_ii = min(before_i, after_i),  f_ij = (before_i - f_ii) (after_j - f_jj) / (1 - sum f_ii)
//
// Rows sum to before and columns to after. The product of the two would do so too, and report movement of a customer who did
// not move. f is the coupling of least total variation (Levin, Peres and Wilmer 2009, Markov Chains and Mixing Times, 4.2).
// Both sides are non-negative and of the same sum, here 1.
func Couple(flow Matrix, before, after []float64) {
	left := 0.0
	for i, u := range before {
		kept := min(u, after[i])
		if kept > 0 {
			flow[i][i] += kept
		}
		left += u - kept
	}
	if left <= 0 {
		return
	}
	for i, u := range before {
		given := u - after[i]
		if given <= 0 {
			continue
		}
		for k, v := range after {
			if taken := v - before[k]; taken > 0 {
				flow[i][k] += given * taken / left
			}
		}
	}
}

// Soft is the membership that went from state to state in one step, over all dates; nil where it was not followed.
func (j *Journey) Soft() Matrix {
	if j.Flows == nil {
		return nil
	}
	all := newMatrix(len(j.States))
	for _, flow := range j.Flows {
		for i := range flow {
			for k, f := range flow[i] {
				all[i][k] += f
			}
		}
	}
	return all
}
