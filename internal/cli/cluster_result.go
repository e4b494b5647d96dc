package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/quimbi/quimbi/engine/hierarchy"
	"github.com/quimbi/quimbi/engine/kselect"
)

// shownColumns is how many columns of a centre the table for people has room for.
const shownColumns = 8

// clusterResult is what cluster prints.
type clusterResult struct {
	N                    int                `json:"n"`
	D                    int                `json:"d"`
	K                    int                `json:"k"`
	M                    float64            `json:"m"`
	Columns              []string           `json:"columns"` // null without a header
	Centers              [][]float64        `json:"centers"` // k x d, in the order of --init
	Sizes                []int              `json:"sizes"`   // rows by dominant cluster, in the same order
	Objective            float64            `json:"objective"`
	Iterations           int                `json:"iterations"`
	Converged            bool               `json:"converged"`
	Silhouette           *float64           `json:"silhouette"`       // null where fewer than two clusters have rows
	SilhouetteError      *float64           `json:"silhouette_error"` // standard error where it was sampled, 0 where it is exact
	PartitionCoefficient float64            `json:"partition_coefficient"`
	XieBeni              *float64           `json:"xie_beni"`
	Seed                 uint64             `json:"seed"`
	CPUSeconds           *float64           `json:"cpu_seconds"` // of the fit of k to all rows, by all goroutines
	WallSeconds          float64            `json:"wall_seconds"`
	Rule                 kselect.Rule       `json:"rule"`
	SweepRows            int                `json:"sweep_rows"` // on which the candidates were measured
	Candidates           []clusterCandidate `json:"candidates"`
	Tree                 []clusterNode      `json:"tree,omitempty"`
}

type clusterCandidate struct {
	K                    int              `json:"k"`
	Silhouette           *float64         `json:"silhouette"`
	SilhouetteError      *float64         `json:"silhouette_error"`
	Balance              *float64         `json:"balance"`
	Score                *float64         `json:"score"`
	NormalizedBalance    *float64         `json:"normalized_balance"`
	NormalizedScore      *float64         `json:"normalized_score"`
	XieBeni              *float64         `json:"xie_beni"`
	PartitionCoefficient *float64         `json:"partition_coefficient"`
	Sizes                []int            `json:"sizes"` // the largest first; null where there are fewer distinct rows than clusters
	Iterations           int              `json:"iterations"`
	Converged            bool             `json:"converged"`
	Eligible             bool             `json:"eligible"`
	Reasons              []kselect.Reason `json:"reasons"` // why it is not eligible
}

type clusterNode struct {
	ID            string              `json:"id"`
	Parent        *string             `json:"parent"`
	Cluster       int                 `json:"cluster"` // the one it is a part of, from 0 in the order of centers
	Depth         int                 `json:"depth"`
	Size          int                 `json:"size"`
	Share         float64             `json:"share"`
	ShareLimit    float64             `json:"share_limit"`
	Variance      float64             `json:"variance"`
	VarianceLimit float64             `json:"variance_limit"`
	Radius        float64             `json:"radius"`
	RadiusLimit   float64             `json:"radius_limit"`
	Triggers      []hierarchy.Trigger `json:"triggers"`
	Stop          *hierarchy.Stop     `json:"stop"` // null where it was divided
	Center        []float64           `json:"center"`
}

func (j *clusterJob) result(s *kselect.Selection) *clusterResult {
	fit, final := s.Fit, candidateResult(&s.Final)
	r := &clusterResult{
		N: j.data.N, D: fit.D, K: fit.K, M: j.options.M, Seed: j.options.Seed, Columns: j.data.Names, Sizes: fit.Sizes,
		Objective: fit.Objective, Iterations: fit.Iterations, Converged: fit.Converged,
		Silhouette: final.Silhouette, SilhouetteError: final.SilhouetteError,
		PartitionCoefficient: fit.PartitionCoefficient, XieBeni: finite(fit.XieBeni),
		CPUSeconds: j.spent[fit].cpu, WallSeconds: j.spent[fit].wall, Rule: s.Rule, SweepRows: s.SweepRows,
	}
	for c := range fit.K {
		r.Centers = append(r.Centers, fit.Centers[c*fit.D:(c+1)*fit.D])
	}
	for i := range s.Candidates {
		r.Candidates = append(r.Candidates, candidateResult(&s.Candidates[i]))
	}
	return r
}

// candidateResult leaves out what is undefined: everything where there was no fit, and what compares clusters where fewer than
// two have rows.
func candidateResult(c *kselect.Candidate) clusterCandidate {
	r := clusterCandidate{K: c.K, Sizes: c.Sizes, Iterations: c.Iterations, Converged: c.Converged, Eligible: c.Eligible, Reasons: c.Reasons}
	if r.Reasons == nil {
		r.Reasons = []kselect.Reason{}
	}
	if c.Sizes == nil {
		return r
	}
	r.Balance, r.NormalizedBalance, r.PartitionCoefficient = &c.Balance, &c.NormalizedBalance, &c.PartitionCoefficient
	r.XieBeni = orNil(c.XieBeni)
	if len(c.Sizes) > 1 && c.Sizes[1] > 0 {
		r.Silhouette, r.SilhouetteError, r.Score, r.NormalizedScore = &c.Silhouette, &c.SilhouetteError, &c.Score, &c.NormalizedScore
	}
	return r
}

func treeResults(tree *hierarchy.Tree) []clusterNode {
	nodes := make([]clusterNode, len(tree.Nodes))
	for i := range tree.Nodes {
		n := &tree.Nodes[i]
		nodes[i] = clusterNode{
			ID: n.Path, Cluster: n.Root, Depth: n.Depth, Size: n.Size, Share: n.Share, ShareLimit: tree.ShareLimit,
			Variance: n.Variance, VarianceLimit: n.VarianceLimit, Radius: n.Radius, RadiusLimit: n.RadiusLimit,
			Triggers: n.Triggers, Stop: orNil(n.Stop), Center: n.Center,
		}
		if n.Stop == hierarchy.StopNone && len(n.Children) == 0 {
			nodes[i].Stop = orNil(hierarchy.StopDepth) // no level of division was allowed, so nothing was asked
		}
		if n.Parent >= 0 {
			nodes[i].Parent = &tree.Nodes[n.Parent].Path
		}
		if n.Triggers == nil {
			nodes[i].Triggers = []hierarchy.Trigger{}
		}
	}
	return nodes
}

func (r *clusterResult) describe(w io.Writer) {
	fmt.Fprintf(w, "n = %s rows, d = %d columns, k = %d clusters, m = %v\n", number(int64(r.N)), r.D, r.K, r.M)
	fmt.Fprintf(w, "objective %.10g after %d iterations", r.Objective, r.Iterations)
	if !r.Converged {
		fmt.Fprint(w, ", not yet converged: allow more with --iterations")
	}
	fmt.Fprintln(w)
	if r.Silhouette != nil {
		fmt.Fprintf(w, "silhouette %.4f", *r.Silhouette)
		if *r.SilhouetteError > 0 {
			fmt.Fprintf(w, " ± %.4f, from a sample", *r.SilhouetteError)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	r.describeCenters(w)
	if len(r.Candidates) > 1 {
		r.describeCandidates(w)
	}
	if r.Tree != nil {
		r.describeTree(w)
	}
}

func table(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
}

func (r *clusterResult) describeCenters(w io.Writer) {
	t := table(w)
	fmt.Fprint(t, "cluster\trows\tshare\t")
	for f := range min(r.D, shownColumns) {
		if r.Columns != nil {
			fmt.Fprintf(t, "%s\t", r.Columns[f])
		} else {
			fmt.Fprintf(t, "column %d\t", f+1)
		}
	}
	fmt.Fprintln(t)
	for c, center := range r.Centers {
		fmt.Fprintf(t, "%d\t%s\t%.1f %%\t", c, number(int64(r.Sizes[c])), percentScale*float64(r.Sizes[c])/float64(r.N))
		for _, v := range center[:min(r.D, shownColumns)] {
			fmt.Fprintf(t, "%.6g\t", v)
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // as with every other line for people, a closed output is not an error
	if r.D > shownColumns {
		fmt.Fprintf(w, "%d more columns are in --json\n", r.D-shownColumns)
	}
}

func (r *clusterResult) describeCandidates(w io.Writer) {
	fmt.Fprintln(w, "\nHow k was chosen:", strings.ToLower(strings.ReplaceAll(string(r.Rule), "_", " ")))
	t := table(w)
	fmt.Fprintln(t, "k\tscore\tsilhouette\tbalance\tXie-Beni\t")
	for i := range r.Candidates {
		c := &r.Candidates[i]
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t", c.K, decimals(c.Score), decimals(c.Silhouette), decimals(c.Balance), decimals(c.XieBeni))
		if c.K == r.K {
			fmt.Fprint(t, "  chosen")
		}
		for at, reason := range c.Reasons {
			separator := ", "
			if at == 0 {
				separator = "  "
			}
			fmt.Fprint(t, separator, strings.ToLower(strings.ReplaceAll(string(reason), "_", " ")))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}

func decimals(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4f", *v)
}

func (r *clusterResult) describeTree(w io.Writer) {
	first := &r.Tree[0]
	fmt.Fprintf(w, "\nSegments; limits: variance %.4g, radius %.4g, share %.0f %%\n", first.VarianceLimit, first.RadiusLimit, percentScale*first.ShareLimit)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "segment\tcluster\trows\tshare\tvariance\tradius\t")
	for i := range r.Tree {
		n := &r.Tree[i]
		fmt.Fprintf(t, "%s\t%d\t%s\t%.1f %%\t%.4g\t%.4g\t", n.ID, n.Cluster, number(int64(n.Size)), percentScale*n.Share, n.Variance, n.Radius)
		if n.Stop == nil {
			fmt.Fprint(t, "divided")
		} else {
			fmt.Fprint(t, "kept: ", *n.Stop)
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}
