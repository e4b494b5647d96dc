package cli

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine/fcm"
	"github.com/quimbi/quimbi/engine/kselect"
)

// clustered runs the command and gives its result.
func clustered(t *testing.T, args ...string) *clusterResult {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := run(t.Context(), append([]string{"cluster", "--json"}, args...), nil, strings.NewReader(""), &out, &errOut); code != exitOK {
		t.Fatalf("cluster %v: exit code %d: %s%s", args, code, &out, &errOut)
	}
	var result clusterResult
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	return &result
}

// csvFile writes a matrix as text.
func csvFile(t *testing.T, x []float64, d int) string {
	t.Helper()
	var text []byte
	for i, v := range x {
		text = append(strconv.AppendFloat(text, v, 'g', -1, 64), ',')
		if i%d == d-1 {
			text[len(text)-1] = '\n'
		}
	}
	return newFile(t, "x.csv", text)
}

func newFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// groups draws n rows around k centres.
func groups(seed uint64, n, d, k int) []float64 {
	random := rand.New(rand.NewPCG(seed, 1))
	centers := make([]float64, k*d)
	for i := range centers {
		centers[i] = 3 * random.NormFloat64()
	}
	x := make([]float64, n*d)
	for i := range x {
		x[i] = centers[i/d%k*d+i%d] + random.NormFloat64()
	}
	return x
}

// iris is the reference of shared/fixtures: R's e1071 on Fisher's iris, and its state after some iterations.
type iris struct {
	X       [][]float64 `json:"x"`
	Init    [][]float64 `json:"init_centers"`
	Centers [][]float64 `json:"centers"`
	J       float64     `json:"objective"`
	Trace   []struct {
		Iterations int         `json:"iterations"`
		Objective  float64     `json:"objective"`
		Centers    [][]float64 `json:"centers_in_init_order"`
	} `json:"trace"`
}

func TestClusterAgreesWithReference(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(sharedFile(t, "fixtures/fcm/iris_k3.json"))
	if err != nil {
		t.Fatal(err)
	}
	var reference iris
	if err := json.Unmarshal(content, &reference); err != nil {
		t.Fatal(err)
	}
	data, init := csvFile(t, slices.Concat(reference.X...), 4), csvFile(t, slices.Concat(reference.Init...), 4)
	ranges := make([]float64, 4)
	for f := range ranges {
		byColumn := func(a, b []float64) int { return int(math.Copysign(1, a[f]-b[f])) }
		ranges[f] = slices.MaxFunc(reference.X, byColumn)[f] - slices.MinFunc(reference.X, byColumn)[f]
	}
	check := func(what string, got *clusterResult, centers [][]float64, objective, centerBar, objectiveBar float64) {
		t.Helper()
		for c := range centers {
			for f, want := range centers[c] {
				if off := math.Abs(got.Centers[c][f]-want) / ranges[f]; !(off <= centerBar) {
					t.Errorf("%s: centre %d is off by %.2g of the range in column %d", what, c, off, f)
				}
			}
		}
		if off := math.Abs(got.Objective/objective - 1); !(off <= objectiveBar) {
			t.Errorf("%s: the objective is off by %.2g", what, off)
		}
	}
	if len(reference.Trace) < 4 {
		t.Fatal("the fixture's trace is not there")
	}
	for _, traced := range reference.Trace {
		got := clustered(t, data, "--init", init, "--plain", "--tolerance", "0", "--iterations", strconv.Itoa(traced.Iterations))
		if got.Iterations != traced.Iterations {
			t.Errorf("%d iterations, asked for %d", got.Iterations, traced.Iterations)
		}
		check(fmt.Sprintf("iteration %d", traced.Iterations), got, traced.Centers, traced.Objective, 1e-10, 1e-11)
	}
	plain := clustered(t, data, "--init", init, "--plain", "--iterations", "5000")
	fast := clustered(t, data, "--init", init)
	check("plain", plain, reference.Centers, reference.J, 1e-8, 1e-10)
	check("accelerated", fast, reference.Centers, reference.J, 1e-8, 1e-10)
	if !plain.Converged || !fast.Converged || fast.Iterations >= plain.Iterations {
		t.Errorf("converged: %v after %d, accelerated %v after %d iterations", plain.Converged, plain.Iterations, fast.Converged, fast.Iterations)
	}
	// scikit-learn 1.2.1: silhouette_score of the fixture's dominant clusters.
	if s := fast.Silhouette; s == nil || math.Abs(*s-0.5495175126471622) > 1e-6 || *fast.SilhouetteError != 0 {
		t.Errorf("silhouette %v", s)
	}
}

// Every form of the same numbers, and every way to give them, leads to the same result.
func TestClusterFormsAgree(t *testing.T) {
	t.Parallel()
	const n, d = 200, 3
	x := groups(1, n, d, 4)
	var raw []byte
	for _, v := range x {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
	}
	text := csvFile(t, x, d)
	untimed := func(r *clusterResult) *clusterResult {
		if r.CPUSeconds == nil || *r.CPUSeconds < 0 || r.WallSeconds <= 0 {
			t.Errorf("a fit of %v s of the processor and %v s", r.CPUSeconds, r.WallSeconds)
		}
		r.CPUSeconds, r.WallSeconds = nil, 0
		return r
	}
	for _, args := range [][]string{{"--k", "4"}, {"--k", "2..4"}, {"--k", "3", "--m", "1.4", "--seed", "9", "--starts", "2"}} {
		fromText := untimed(clustered(t, append(args, text)...))
		fromRaw := untimed(clustered(t, append(args, "--raw", fmt.Sprintf("%d,%d", n, d), newFile(t, "x.raw", raw))...))
		if diff := cmp.Diff(fromText, fromRaw, cmp.AllowUnexported(clusterResult{})); diff != "" {
			t.Errorf("%v (-text +raw):\n%s", args, diff)
		}
	}
}

// With --init the clusters keep their order, whatever that is.
func TestClusterKeepsOrderOfInit(t *testing.T) {
	t.Parallel()
	const d = 2
	x := groups(3, 400, d, 3)
	data := csvFile(t, x, d)
	first := clustered(t, data, "--init", csvFile(t, x[:3*d], d))
	turned := clustered(t, data, "--init", csvFile(t, slices.Concat(x[2*d:3*d], x[:2*d]), d))
	for c := range 3 {
		at := (c + 1) % 3
		for f := range d {
			if math.Abs(first.Centers[c][f]-turned.Centers[at][f]) > 1e-8 {
				t.Errorf("cluster %d is %v, and %v after turning the start", c, first.Centers[c], turned.Centers[at])
			}
		}
		if first.Sizes[c] != turned.Sizes[at] {
			t.Errorf("cluster %d has %d rows, and %d after turning the start", c, first.Sizes[c], turned.Sizes[at])
		}
	}
}

// The file of memberships holds what the centres say: with it anybody can compute the objective and the sizes again.
func TestClusterMemberships(t *testing.T) {
	t.Parallel()
	const n, d = 400, 3
	x := groups(5, n, d, 3)
	file := filepath.Join(t.TempDir(), "u.csv")
	got := clustered(t, csvFile(t, x, d), "--k", "3", "--m", "1.7", "--hierarchy", "--memberships", file, "--max-variance", "1", "--min-size", "50", "--starts", "3")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	leaves := []string{}
	for _, node := range got.Tree {
		if node.Stop != nil {
			leaves = append(leaves, node.ID)
		}
	}
	if want := "cluster_0,cluster_1,cluster_2," + strings.Join(leaves, ","); lines[0] != want || len(lines) != n+1 {
		t.Fatalf("%d lines under %q, want %q", len(lines)-1, lines[0], want)
	}
	if len(leaves) <= 3 {
		t.Errorf("nothing was divided: %v", leaves)
	}
	objective, sizes := 0.0, make([]int, 3)
	for i, line := range lines[1:] {
		u := make([]float64, 0, 3+len(leaves))
		for _, value := range strings.Split(line, ",") {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil || v < 0 || v > 1 {
				t.Fatalf("line %d: %q is no membership", i+2, value)
			}
			u = append(u, v)
		}
		if roots, below := sum(u[:3]), sum(u[3:]); math.Abs(roots-1) > 1e-9 || math.Abs(below-1) > 1e-9 {
			t.Fatalf("line %d: the clusters sum to %v, the leaves to %v", i+2, roots, below)
		}
		best := 0
		for c := range 3 {
			squares := 0.0
			for f := range d {
				e := x[i*d+f] - got.Centers[c][f]
				squares += e * e
			}
			objective += math.Pow(u[c], 1.7) * squares
			if u[c] > u[best] {
				best = c
			}
		}
		sizes[best]++
	}
	if math.Abs(objective/got.Objective-1) > 1e-12 {
		t.Errorf("the objective is %v, from the file %v", got.Objective, objective)
	}
	if !slices.Equal(sizes, got.Sizes) {
		t.Errorf("the sizes are %v, from the file %v", got.Sizes, sizes)
	}
	roots := 0
	for _, node := range got.Tree {
		if node.Parent == nil {
			roots++
			if node.Size != got.Sizes[node.Cluster] || !slices.Equal(node.Center, got.Centers[node.Cluster]) {
				t.Errorf("%s is not cluster %d", node.ID, node.Cluster)
			}
		}
	}
	if roots != 3 {
		t.Errorf("%d roots of 3 clusters", roots)
	}
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}

// One cluster is the mean, and what compares clusters is null.
func TestClusterOfOne(t *testing.T) {
	t.Parallel()
	got := clustered(t, newFile(t, "x.csv", []byte("1,2\n3,4\n8,0\n")), "--k", "1")
	if got.K != 1 || got.Centers[0][0] != 4 || got.Centers[0][1] != 2 || got.Objective != 9+0+1+4+16+4 {
		t.Errorf("centre %v, objective %v", got.Centers, got.Objective)
	}
	if c := got.Candidates[0]; got.Silhouette != nil || got.XieBeni != nil || c.Silhouette != nil || c.Score != nil || c.Sizes[0] != 3 {
		t.Errorf("not null: %+v", got)
	}
	// Rows that are all the same have one cluster, however many are asked for.
	same := clustered(t, newFile(t, "x.csv", []byte("5\n5\n5\n5\n")), "--k", "2")
	if same.Silhouette != nil || same.Objective > 1e-250 || !slices.Contains(same.Candidates[0].Reasons, kselect.CoincidentCenters) {
		t.Errorf("one value: %+v", same)
	}
}

func TestClusterChoosesK(t *testing.T) {
	t.Parallel()
	got := clustered(t, csvFile(t, groups(8, 900, 2, 4), 2), "--k", "2..6")
	if got.K != 4 || got.Rule != kselect.BestEligible || got.SweepRows != 900 || len(got.Candidates) != 5 {
		t.Errorf("k = %d by %s of %d candidates on %d rows", got.K, got.Rule, len(got.Candidates), got.SweepRows)
	}
	for i, c := range got.Candidates {
		if c.K != i+2 || len(c.Sizes) != c.K || c.Silhouette == nil || c.Score == nil || c.Balance == nil {
			t.Errorf("candidate %d: %+v", i, c)
		}
		if c.K == got.K && (*c.Silhouette != *got.Silhouette || !c.Eligible) {
			t.Errorf("the chosen candidate is %+v", c)
		}
	}
	// More clusters than rows can be asked for in a range: those have no fit.
	few := clustered(t, newFile(t, "x.csv", []byte("1\n2\n10\n11\n")))
	if last := few.Candidates[8]; len(few.Candidates) != 9 || last.Sizes != nil || last.Silhouette != nil || few.K > 4 {
		t.Errorf("k = %d, the last candidate is %+v", few.K, last)
	}
}

func TestClusterRefuses(t *testing.T) {
	t.Parallel()
	data := newFile(t, "data.csv", []byte("a,b\n1,2\n3,4\n5,7\n"))
	init := newFile(t, "init.csv", []byte("1,2\n3,4\n"))
	for _, test := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no file", nil, exitUsage, "file"},
		{"nowhere", []string{"nowhere.csv"}, exitNotFound, "nowhere.csv"},
		{"nowhere, raw", []string{"nowhere.raw", "--raw", "1,1"}, exitNotFound, "nowhere.raw"},
		{"folder", []string{t.TempDir()}, exitUsage, "folder"},
		{"text", []string{newFile(t, "x.csv", []byte("1,2\n3,x\n"))}, exitUsage, "line 2, column 2"},
		{"k of zero", []string{data, "--k", "0"}, exitUsage, "--k must be"},
		{"k of words", []string{data, "--k", "many"}, exitUsage, "--k must be"},
		{"a range downwards", []string{data, "--k", "5..2"}, exitUsage, "--k must be"},
		{"a range from one", []string{data, "--k", "1..3"}, exitUsage, "within 2..50"},
		{"a range too wide", []string{data, "--k", "2..51"}, exitUsage, "within 2..50"},
		{"too few rows", []string{data, "--k", "4"}, exitUsage, "3 rows, too few for 4 clusters"},
		{"m of one", []string{data, "--m", "1.01"}, exitUsage, "above 1.01"},
		{"m not a number", []string{data, "--m", "NaN"}, exitUsage, "above 1.01"},
		{"no iterations", []string{data, "--iterations", "0"}, exitUsage, "--iterations"},
		{"tolerance not a number", []string{data, "--tolerance", "NaN"}, exitUsage, "--tolerance"},
		{"no starts", []string{data, "--starts", "0"}, exitUsage, "--starts"},
		{"init and starts", []string{data, "--init", init, "--starts", "3"}, exitUsage, "one start"},
		{"init and another k", []string{data, "--init", init, "--k", "3"}, exitUsage, "--init has 2 rows, but --k is 3"},
		{"init and a range", []string{data, "--init", init, "--k", "2..4"}, exitUsage, "leave --k out"},
		{"init of other columns", []string{data, "--init", newFile(t, "i.csv", []byte("1\n2\n"))}, exitUsage, "--init has 1 columns"},
		{"init of text", []string{data, "--init", newFile(t, "i.csv", []byte("1,2\n3,?\n"))}, exitUsage, "--init: line 2, column 2"},
		{"init of more rows than data", []string{data, "--init", newFile(t, "i.csv", []byte("1,2\n3,4\n5,6\n7,8\n"))}, exitUsage, "3 rows, too few for 4"},
		{"both from standard input", []string{"-", "--init", "-"}, exitUsage, "cannot both be standard input"},
		{"shape", []string{data, "--raw", "3"}, exitUsage, "rows and columns"},
		{"length", []string{data, "--raw", "3,2"}, exitUsage, "3 rows of 2 columns of 8 bytes are 48"},
		{"too large", []string{newFile(t, "x.csv", []byte("1\n1e200\n")), "--k", "2"}, exitUsage, "1e145"},
		{"no structure", []string{newFile(t, "x.csv", []byte("1\n1\n1\n"))}, exitUsage, "no structure"},
		{"memberships over the data", []string{data, "--memberships", data}, exitUsage, "would overwrite"},
		{"memberships over the start", []string{data, "--init", init, "--memberships", init}, exitUsage, "would overwrite"},
		{"memberships on standard output", []string{data, "--memberships", "-"}, exitUsage, "name of a file"},
		{"memberships nowhere", []string{data, "--memberships", filepath.Join(t.TempDir(), "none", "u.csv")}, exitUsage, "no folder"},
		{"limits of the hierarchy", []string{data, "--hierarchy", "--max-segment-pct", "140"}, exitUsage, "maxSegmentShare"},
	} {
		var out bytes.Buffer
		code := run(t.Context(), append([]string{"cluster"}, test.args...), nil, strings.NewReader(""), io.Discard, &out)
		if code != test.code || !strings.Contains(out.String(), test.want) {
			t.Errorf("%s: exit code %d, want %d, and %q in: %s", test.name, code, test.code, test.want, &out)
		}
	}
}

// A source that gives nothing, such as a terminal, does not hold the program up.
func TestClusterStops(t *testing.T) {
	t.Parallel()
	silent, end := io.Pipe()
	defer end.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if code := run(ctx, []string{"cluster", "-", "--json"}, nil, silent, &out, io.Discard); code != exitInterrupted {
		t.Errorf("exit code %d: %s", code, &out)
	}
}

// The command's memberships are the engine's.
func TestMembershipOfRows(t *testing.T) {
	t.Parallel()
	x := groups(2, 50, 2, 2)
	fit, err := fcm.Fit(t.Context(), x, 50, 2, 2, fcm.Options{M: 2.5})
	if err != nil {
		t.Fatal(err)
	}
	of := newMembership(fit, 2.5)
	for i, label := range fit.Labels {
		if u := of.row(x[2*i : 2*i+2]); u[label] < u[1-label] {
			t.Errorf("row %d of cluster %d has memberships %v", i, label, u)
		}
	}
}
