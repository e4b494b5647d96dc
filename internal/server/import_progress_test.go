package server_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/jobs"
)

// slowFile is a file that is read in pieces, each when it comes.
type slowFile struct {
	pieces     chan string
	text       string
	read, size int64
}

func (f *slowFile) Read(p []byte) (int, error) {
	if f.text == "" {
		next, more := <-f.pieces
		if !more {
			return 0, io.EOF
		}
		f.text = next
	}
	n := copy(p, f.text)
	f.text = f.text[n:]
	f.read += int64(n)
	return n, nil
}

func (f *slowFile) Close() error { return nil }

// Progress is what an opened file tells.
func (f *slowFile) Progress() (read, size int64) { return f.read, f.size }

// TestImportMoves follows an import by the subscription: through the file by its bytes, then merging, and never back. Of a file of an
// unknown size only the stages are told.
func TestImportMoves(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"of a known size": 1, "of an unknown size": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newEmptyAPI(t)
			ctx := t.Context()
			pool := uncounted(t, a.pool)
			store, err := a.db.EnsureStore(ctx, "shop")
			check(t, err)
			file := &slowFile{pieces: make(chan string)}
			pieces := []string{"customer_id,order_id,ordered_at,sku,quantity,unit_price\n"}
			for n := range 3 {
				var piece strings.Builder
				for i := range 3000 {
					fmt.Fprintf(&piece, "c%d,o%d-%d,2026-11-%02dT10:00:00Z,a,1,2.50\n", i%100, n, i, 1+i%20)
				}
				pieces = append(pieces, piece.String())
			}
			for _, piece := range pieces {
				file.size += size * int64(len(piece))
			}
			ended := make(chan error, 1)
			go func() {
				_, err := a.queue.Import(ctx, store, []jobs.Source{{Name: "slow.csv", Open: func() (io.ReadCloser, error) { return file, nil }}}, ingest.Options{}, nil, nil)
				ended <- err
			}()
			file.pieces <- pieces[0]
			var newest struct {
				Store struct{ LatestRun struct{ ID string } }
			}
			a.data(t, &newest, `{ store(key: "shop") { latestRun(kind: IMPORT) { id } } }`, nil)
			watched := a.watch(t, newest.Store.LatestRun.ID)
			reaches := func(stage string, fraction float64) {
				t.Helper()
				for watched.last.Stage == nil || *watched.last.Stage != stage || watched.last.Fraction < fraction {
					if !watched.next(t) {
						t.Fatalf("the import ended: %+v", watched.last)
					}
				}
			}
			reaches("READING", 0)
			merging, err := pool.Begin(ctx)
			check(t, err)
			defer func() { _ = merging.Rollback(context.WithoutCancel(ctx)) }()
			_, err = merging.Exec(ctx, "LOCK TABLE customer IN EXCLUSIVE MODE")
			check(t, err)
			for i, fraction := range []float64{0.1, 0.3, 0.45} {
				file.pieces <- pieces[i+1]
				reaches("READING", fraction*float64(size))
			}
			close(file.pieces)
			reaches("WRITING", 0.5)
			if last := watched.last; last.Total == nil || last.Fraction != 0.5 || last.State != "RUNNING" {
				t.Errorf("while it merges: %+v", last)
			}
			check(t, merging.Rollback(ctx))
			watched.end(t)
			if last := watched.last; last.State != "SUCCEEDED" || last.Fraction != 1 {
				t.Errorf("the subscription ended with %+v", last)
			}
			check(t, <-ended)
		})
	}
}
