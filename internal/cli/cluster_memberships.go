package cli

import (
	"context"
	"io"
	"slices"
	"strconv"

	"github.com/quimbi/quimbi/engine/fcm"
	"github.com/quimbi/quimbi/engine/hierarchy"
)

// writeMemberships writes the rows' memberships of all clusters, and below a tree of its leaves, as a CSV.
func (j *clusterJob) writeMemberships(ctx context.Context, path string, fit *fcm.Result, m float64, tree *hierarchy.Tree) error {
	return writeFile(path, "--memberships", func(out io.Writer) error { return j.memberships(ctx, out, fit, m, tree) })
}

func (j *clusterJob) memberships(ctx context.Context, out io.Writer, fit *fcm.Result, m float64, tree *hierarchy.Tree) error {
	var line []byte
	for c := range fit.K {
		line = strconv.AppendInt(append(line, "cluster_"...), int64(c), 10)
		line = append(line, ',')
	}
	of := newMembership(fit, m)
	if tree != nil {
		if err := of.below(tree); err != nil {
			return err
		}
		for _, leaf := range of.composer.Leaves() {
			line = append(append(line, tree.Nodes[leaf].Path...), ',')
		}
	}
	for i := 0; ; i++ {
		line[len(line)-1] = '\n'
		if _, err := out.Write(line); err != nil {
			return err
		}
		if i == j.data.N {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		line = line[:0]
		for _, u := range of.row(j.data.X[i*fit.D : (i+1)*fit.D]) {
			line = append(strconv.AppendFloat(line, u, 'g', -1, 64), ',')
		}
	}
}

// membership computes memberships of rows, one at a time.
type membership struct {
	fit      *fcm.Result
	m        float64
	values   []float64 // of the clusters, then of the leaves
	composer *hierarchy.Composer
	clusters []int     // of the tree's roots
	roots    []float64 // memberships in the tree's order
	nodes    []float64
}

func newMembership(fit *fcm.Result, m float64) *membership {
	return &membership{fit: fit, m: m, values: make([]float64, fit.K)}
}

// below adds the leaves of a tree whose roots are the clusters.
func (u *membership) below(tree *hierarchy.Tree) (err error) {
	if u.composer, err = hierarchy.NewComposer(tree, u.m, false); err != nil {
		return err
	}
	for _, root := range tree.Nodes[:u.composer.Roots()] {
		u.clusters = append(u.clusters, root.Root)
	}
	u.roots, u.nodes = make([]float64, u.composer.Roots()), make([]float64, u.composer.Len())
	u.values = slices.Grow(u.values, len(u.composer.Leaves()))
	return nil
}

// row gives the memberships of one row; valid until the next.
func (u *membership) row(row []float64) []float64 {
	k := u.fit.K
	values := u.values[:k]
	fcm.Memberships(values, row, u.fit.Centers, k, u.m)
	if u.composer == nil {
		return values
	}
	for i, c := range u.clusters {
		u.roots[i] = values[c]
	}
	values = values[:k+len(u.composer.Leaves())]
	u.composer.Compose(values[k:], u.nodes, row, u.roots)
	return values
}
