package cli

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/fcm"
	"github.com/quimbi/quimbi/engine/hierarchy"
	"github.com/quimbi/quimbi/engine/kselect"
	"github.com/quimbi/quimbi/internal/matrix"
)

const (
	clusterTolerance = 1e-10  // the default; --tolerance 0 calls a fit converged by it too
	clusterSample    = 50_000 // rows on which one k of several is chosen, where there are more
	mostClusters     = 50     // of a range
	mostStarts       = 1000
	mostIterations   = 1 << 30 // far beyond patience, and an int everywhere
)

type clusterCommand struct {
	Subdivision
	File        string  `arg:"" help:"A CSV of numbers, one row a line, also compressed by gzip; - is standard input. Columns are separated by commas, or by semicolons or tabs where the first line has no commas. The first line is a header if any of its values is not a number (an empty one, NaN, Inf, NA and null do not count). Nothing is standardised."`
	Raw         string  `placeholder:"N,D" help:"The file is N rows of D columns of little-endian float64 instead, row by row, not compressed."`
	K           string  `placeholder:"K|FROM..TO" help:"How many clusters: a number, or a range that the best is chosen from; as many as --init has rows, else 2..10."`
	M           float64 `name:"m" env:"FCM_FUZZINESS" default:"2" help:"The fuzzifier m, over 1.01."`
	Init        string  `placeholder:"FILE" help:"A CSV of k rows and as many columns as the data: one start from these centres. The clusters keep their order."`
	Iterations  int     `env:"FCM_MAX_ITER" default:"150" help:"The most updates of the centres."`
	Tolerance   float64 `default:"1e-10" help:"Stop when no centre moves further, in standard deviations of the columns; 0: exactly as many iterations as --iterations says."`
	Plain       bool    `help:"Without Anderson acceleration: every iteration is one plain update, memberships and then centres."`
	Starts      *int    `placeholder:"N" help:"Starts from k-means++ centres, on a sample of 5000 rows; the best is continued on all rows. 10 unless set."`
	Seed        uint64  `default:"1" help:"The seed of samples and starts."`
	Memberships string  `placeholder:"FILE" help:"Write memberships to this CSV: a header (cluster_0, cluster_1, ... in the order of the centres), then one line a row. With --hierarchy also the leaves (seg_0.1, ...)."`
	Hierarchy   bool    `help:"Divide wide and large clusters. Their limits are in standard deviations, so the columns are taken to be standardised."`
}

// Run clusters a file of numbers. It touches no database.
func (c *clusterCommand) Run(a *app) error {
	job, err := c.plan()
	if err != nil {
		return err
	}
	bar := a.bar("reading")
	err = job.read(a, c)
	bar.end()
	if err != nil {
		return err
	}
	bar = a.bar("fitting")
	result, err := job.run(a, c, bar)
	bar.end()
	if err != nil {
		return err
	}
	return a.print(result, result.describe)
}

// clusterJob is a clustering of one matrix.
type clusterJob struct {
	kMin, kMax int // equal for one number of clusters; 0 where --init decides
	rows, cols int // of a raw file, else 0
	options    fcm.Options
	data       *matrix.Matrix
	spent      map[*fcm.Result]spent
	now        func() time.Time
}

// spent is what a fit took, in seconds; of the processors by all goroutines together, null where that is not known.
type spent struct {
	cpu  *float64
	wall float64
}

// plan checks what can be checked before the files are read.
func (c *clusterCommand) plan() (*clusterJob, error) {
	job := &clusterJob{spent: map[*fcm.Result]spent{}}
	var err error
	if c.Raw != "" {
		if job.rows, job.cols, err = matrix.ParseShape(c.Raw); err != nil {
			return nil, err
		}
	}
	if job.kMin, job.kMax, err = c.clusters(); err != nil {
		return nil, err
	}
	if err := fcm.CheckFuzzifier(c.M, job.kMax); err != nil {
		return nil, engine.Errorf(engine.CodeInvalid, "%s", err)
	}
	starts := 0
	if c.Starts != nil {
		starts = *c.Starts
	}
	switch {
	case c.Iterations < 1 || c.Iterations > mostIterations:
		return nil, engine.Errorf(engine.CodeInvalid, "--iterations must be from 1 to %d, is %d", mostIterations, c.Iterations)
	case !(c.Tolerance >= 0 && c.Tolerance <= 1):
		return nil, engine.Errorf(engine.CodeInvalid, "--tolerance must be from 0 to 1, is %v", c.Tolerance)
	case c.Starts != nil && (starts < 1 || starts > mostStarts):
		return nil, engine.Errorf(engine.CodeInvalid, "--starts must be from 1 to %d, is %d", mostStarts, starts)
	case c.Init != "" && starts > 1:
		return nil, engine.Errorf(engine.CodeInvalid, "--init is one start, and --starts asks for %d: leave one of them out", starts)
	case c.File == "-" && c.Init == "-":
		return nil, engine.Errorf(engine.CodeInvalid, "the data and --init cannot both be standard input")
	}
	if c.Hierarchy {
		params := engine.DefaultParams()
		c.take(&params)
		if err := params.Validate(); err != nil {
			return nil, err
		}
	}
	if c.Memberships != "" {
		if err := c.checkMemberships(); err != nil {
			return nil, err
		}
	}
	job.options = fcm.Options{M: c.M, MaxIterations: c.Iterations, Tolerance: c.Tolerance, Starts: starts, Seed: c.Seed, Plain: c.Plain, InPlace: true}
	if c.Tolerance == 0 {
		job.options.Tolerance, job.options.ExactIterations = clusterTolerance, true
	}
	return job, nil
}

// clusters reads --k; 0 and 0 where --init decides.
func (c *clusterCommand) clusters() (from, to int, err error) {
	if c.K == "" {
		if c.Init != "" {
			return 0, 0, nil
		}
		return kselect.DefaultKMin, kselect.DefaultKMax, nil
	}
	first, last, isRange := strings.Cut(c.K, "..")
	if !isRange {
		last = first
	}
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	switch {
	case err1 != nil || err2 != nil || from < 1 || to < from:
		return 0, 0, engine.Errorf(engine.CodeInvalid, "--k must be a number of clusters such as 5, or a range such as 2..10, is %q", c.K)
	case from == to:
		return from, to, nil
	case from < 2 || to > mostClusters:
		return 0, 0, engine.Errorf(engine.CodeInvalid, "a range of --k must lie within 2..%d, is %s", mostClusters, c.K)
	case c.Init != "":
		return 0, 0, engine.Errorf(engine.CodeInvalid, "--init has centres for one number of clusters, and --k is the range %s: leave --k out", c.K)
	}
	return from, to, nil
}

// checkMemberships sees to it that the result will not be lost, nor an input.
func (c *clusterCommand) checkMemberships() error {
	if c.Memberships == "-" {
		return engine.Errorf(engine.CodeInvalid, "--memberships needs the name of a file: standard output is for the result")
	}
	if folder, err := os.Stat(filepath.Dir(c.Memberships)); err != nil || !folder.IsDir() {
		return engine.Errorf(engine.CodeInvalid, "--memberships: there is no folder %s", filepath.Dir(c.Memberships))
	}
	target, err := os.Stat(c.Memberships)
	if err != nil {
		return nil // it is not there yet
	}
	if target.IsDir() {
		return engine.Errorf(engine.CodeInvalid, "--memberships: %s is a folder", c.Memberships)
	}
	for _, source := range []string{c.File, c.Init} {
		if info, err := os.Stat(source); err == nil && os.SameFile(info, target) {
			return engine.Errorf(engine.CodeInvalid, "--memberships would overwrite %s: name another file", source)
		}
	}
	return nil
}

// read reads the data and the starting centres.
func (j *clusterJob) read(a *app, c *clusterCommand) (err error) {
	if c.Raw != "" {
		j.data, err = a.readRaw(c.File, j.rows, j.cols)
	} else {
		j.data, err = a.readCSV(c.File)
	}
	if err != nil {
		return err
	}
	if c.Init != "" {
		if err := j.readInit(a, c.Init); err != nil {
			return err
		}
	}
	if j.kMin == j.kMax && j.kMin > j.data.N {
		return engine.Errorf(engine.CodeInvalid, "there are %d rows, too few for %d clusters", j.data.N, j.kMin)
	}
	return nil
}

func (j *clusterJob) readInit(a *app, file string) error {
	init, err := a.readCSV(file)
	if err != nil {
		if known, ok := errors.AsType[*engine.Error](err); ok {
			return engine.Errorf(known.Code, "--init: %s", known.Message)
		}
		return err
	}
	if init.D != j.data.D {
		return engine.Errorf(engine.CodeInvalid, "--init has %d columns, but the data have %d", init.D, j.data.D)
	}
	if j.kMin == 0 {
		j.kMin, j.kMax = init.N, init.N
	}
	if init.N != j.kMin {
		return engine.Errorf(engine.CodeInvalid, "--init has %d rows, but --k is %d", init.N, j.kMin)
	}
	j.options.Init = init.X
	return nil
}

// run fits, measures and writes memberships.
func (j *clusterJob) run(a *app, c *clusterCommand, bar *bar) (*clusterResult, error) {
	j.now = a.now
	selection, err := j.choose(a.ctx, c.Seed, bar)
	if err != nil {
		return nil, clusterFault(a.ctx, err)
	}
	result := j.result(selection)
	var tree *hierarchy.Tree
	if c.Hierarchy {
		if tree, err = j.subdivide(a.ctx, c, selection.Fit); err != nil {
			return nil, clusterFault(a.ctx, err)
		}
		result.Tree = treeResults(tree)
	}
	if c.Memberships != "" {
		if err := j.writeMemberships(a.ctx, c.Memberships, selection.Fit, c.M, tree); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// choose fits the one k that is asked for, or the best of a range.
func (j *clusterJob) choose(ctx context.Context, seed uint64, bar *bar) (*kselect.Selection, error) {
	data := j.data
	silhouette := kselect.SilhouetteOptions{Seed: seed}
	if j.kMin < j.kMax {
		return kselect.Select(ctx, data.X, data.N, data.D, kselect.Options{
			KMin: j.kMin, KMax: j.kMax, SweepSample: clusterSample, FCM: j.options, Silhouette: silhouette, Around: j.timed,
			Progress: func(k int) { bar.count(int64(k)) },
		})
	}
	j.options.Progress = func(iteration int, _, _ float64) { bar.count(int64(iteration)) }
	fit, err := j.timed(func() (*fcm.Result, error) { return fcm.Fit(ctx, data.X, data.N, data.D, j.kMin, j.options) })
	if err != nil {
		return nil, err
	}
	candidate, err := kselect.Measure(ctx, data.X, data.N, data.D, fit, silhouette)
	if err != nil {
		return nil, err
	}
	return &kselect.Selection{
		Chosen: fit.K, Rule: kselect.Fixed, Candidates: []kselect.Candidate{candidate}, SweepRows: data.N, Final: candidate, Fit: fit,
	}, nil
}

// timed does a fit and keeps what it took. What reading or measuring left is given back first: it may be as much as the data.
func (j *clusterJob) timed(do func() (*fcm.Result, error)) (*fcm.Result, error) {
	debug.FreeOSMemory()
	began := j.now()
	before, _ := processorTime()
	fit, err := do()
	if err != nil {
		return nil, err
	}
	used := spent{wall: j.now().Sub(began).Seconds()}
	if after, known := processorTime(); known {
		seconds := (after - before).Seconds()
		used.cpu = &seconds
	}
	j.spent[fit] = used
	return fit, nil
}

// subdivide grows the tree below the clusters.
func (j *clusterJob) subdivide(ctx context.Context, c *clusterCommand, fit *fcm.Result) (*hierarchy.Tree, error) {
	roots := make([]hierarchy.Root, fit.K)
	for r := range roots {
		roots[r] = hierarchy.Root{Center: fit.Centers[r*fit.D : (r+1)*fit.D], Members: make([]int32, 0, fit.Sizes[r])}
	}
	for i, label := range fit.Labels {
		roots[label].Members = append(roots[label].Members, int32(i))
	}
	return hierarchy.Subdivide(ctx, j.data.X, j.data.N, j.data.D, roots, hierarchy.Options{
		MaxVariance: c.MaxVariance, MaxShare: c.MaxSegmentPct / percentScale, MinSize: c.MinSize, MaxDepth: c.MaxDepth, Disabled: c.MaxDepth == 0,
		FCM: j.options, Silhouette: kselect.SilhouetteOptions{Seed: c.Seed}, SweepSample: clusterSample,
	})
}

// clusterFault gives the faults of data and options their code.
func clusterFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if errors.Is(err, kselect.ErrNoStructure) {
		return engine.Errorf(engine.CodeInvalid, "%s; --k with one number fits all the same", err)
	}
	faults := []error{fcm.ErrFuzzifier, fcm.ErrNotFinite, fcm.ErrTooLarge, fcm.ErrShape, fcm.ErrOptions}
	if slices.ContainsFunc(faults, func(fault error) bool { return errors.Is(err, fault) }) {
		return engine.Errorf(engine.CodeInvalid, "%s", err)
	}
	return err
}

// readCSV reads a table of numbers, compressed or not.
func (a *app) readCSV(file string) (*matrix.Matrix, error) {
	return interruptible(a.ctx, func() (*matrix.Matrix, error) {
		source, err := a.openSource(file)
		if err != nil {
			return nil, err
		}
		defer source.Close()
		return matrix.ReadCSV(a.ctx, source)
	})
}

// readRaw reads raw numbers, never uncompressed: they may begin like any other file.
func (a *app) readRaw(file string, n, d int) (*matrix.Matrix, error) {
	return interruptible(a.ctx, func() (*matrix.Matrix, error) {
		if file == "-" {
			return matrix.ReadRaw(a.ctx, a.in, n, d, -1)
		}
		source, err := os.Open(file)
		if err != nil {
			return nil, cannotOpen(file, err)
		}
		defer source.Close()
		size := int64(-1)
		if info, err := source.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		return matrix.ReadRaw(a.ctx, source, n, d, size)
	})
}

// interruptible does not wait for a source that gives nothing, such as a terminal, when the program is to stop.
func interruptible[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := read()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// finite makes null of a number that is undefined.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
