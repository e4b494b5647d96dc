//go:build ignore

// The floor of the comparison: one statement by hand for each use over net/http, pgx and encoding/json, with nothing in
// between. Under /flat/ it reads the copy that is laid out for the peers, under /own/ Quimbi's own tables, where the members of
// a segment are counted as they are asked for.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

type point struct {
	Date       time.Time `json:"date"`
	Drift      *float32  `json:"drift"`
	ChurnRisk  *float32  `json:"churnRisk"`
	Orders     int32     `json:"orders"`
	ValueCents int64     `json:"valueCents"`
	Membership []int16   `json:"membership"`
	Dominant   any       `json:"dominant"`
}

type customer struct {
	Key        string    `json:"customerKey"`
	Orders     int32     `json:"orders"`
	ValueCents int64     `json:"valueCents"`
	Date       time.Time `json:"date"`
	ChurnRisk  *float32  `json:"churnRisk"`
	Dominant   any       `json:"dominant"`
}

type segment struct {
	Path     string     `json:"path"`
	Name     string     `json:"name"`
	Members  int32      `json:"memberCount"`
	Share    float64    `json:"share"`
	Children []*segment `json:"children"`
}

type axis struct {
	Key      string     `json:"key"`
	Segments []*segment `json:"segments"`
}

func main() {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	config.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		log.Fatal(err)
	}
	for name, read := range map[string]func(context.Context, *pgxpool.Pool, string) (any, error){
		"flat/timeline": timeline(flatTimeline, false), "own/timeline": timeline(ownTimeline, true),
		"flat/customers": customers(flatCustomers, false), "own/customers": customers(ownCustomers, true),
		"flat/tree": tree(flatTree), "own/tree": tree(ownTree),
	} {
		http.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) { answer(w, r, pool, read) })
	}
	log.Fatal(http.ListenAndServe(os.Getenv("LISTEN_ADDR"), nil))
}

func answer(w http.ResponseWriter, r *http.Request, pool *pgxpool.Pool, read func(context.Context, *pgxpool.Pool, string) (any, error)) {
	var body struct {
		Variables struct {
			C string `json:"c"`
		} `json:"variables"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	found, err := read(r.Context(), pool, body.Variables.C)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(found)
}

const flatTimeline = `SELECT snapshot_date, drift, churn_risk, orders, value_cents, membership, dominant FROM bench.snapshot
	WHERE customer_id = (SELECT customer_id FROM bench.customer WHERE customer_key = $1) ORDER BY snapshot_date`

// The positions of the dominant leaves stand for their paths here: a client would have to know the model.
const ownTimeline = `SELECT snapshot_date, drift, churn_risk, orders, value_cents, membership, dominant FROM snapshot
	WHERE store_id = (SELECT store_id FROM store WHERE store_key = 'demo') AND snapshot_type = 2
	AND customer_id = (SELECT customer_id FROM customer JOIN store USING (store_id) WHERE store_key = 'demo' AND customer_key = $1) ORDER BY snapshot_date`

// packed reads Quimbi's thumbprints: two bytes a membership; a byte with the width of what follows, and the dominant leaf of each axis.
type packed struct{ membership, dominant []byte }

func (p packed) memberships() []int16 { return wide(p.membership) }

func (p packed) dominants() []int16 {
	if p.dominant[0] == 2 {
		return wide(p.dominant[1:])
	}
	list := make([]int16, len(p.dominant)-1)
	for i, b := range p.dominant[1:] {
		if list[i] = int16(b); b == 255 {
			list[i] = -1
		}
	}
	return list
}

func wide(b []byte) []int16 {
	list := make([]int16, len(b)/2)
	for i := range list {
		list[i] = int16(binary.BigEndian.Uint16(b[2*i:]))
	}
	return list
}

func timeline(sql string, own bool) func(context.Context, *pgxpool.Pool, string) (any, error) {
	return func(ctx context.Context, pool *pgxpool.Pool, key string) (any, error) {
		rows, err := pool.Query(ctx, sql, key)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p point, err error) {
			var print packed
			var paths []*string
			if !own {
				err = row.Scan(&p.Date, &p.Drift, &p.ChurnRisk, &p.Orders, &p.ValueCents, &p.Membership, &paths)
				p.Dominant = paths
				return p, err
			}
			if err = row.Scan(&p.Date, &p.Drift, &p.ChurnRisk, &p.Orders, &p.ValueCents, &print.membership, &print.dominant); err == nil {
				p.Membership, p.Dominant = print.memberships(), print.dominants()
			}
			return p, err
		})
	}
}

const flatCustomers = `SELECT c.customer_key, c.orders, c.value_cents, s.snapshot_date, s.churn_risk, s.dominant
	FROM (SELECT * FROM bench.customer ORDER BY customer_key LIMIT 50) c
	CROSS JOIN LATERAL (SELECT * FROM bench.snapshot s WHERE s.customer_id = c.customer_id ORDER BY snapshot_date DESC LIMIT 1) s
	ORDER BY c.customer_key`

const ownCustomers = `SELECT c.customer_key, c.orders, c.value_cents, s.snapshot_date, s.churn_risk, s.dominant
	FROM (SELECT c.* FROM customer c JOIN store USING (store_id) WHERE store_key = 'demo' ORDER BY customer_key LIMIT 50) c
	CROSS JOIN LATERAL (SELECT * FROM snapshot s WHERE s.store_id = c.store_id AND s.customer_id = c.customer_id AND s.snapshot_type = 2
		ORDER BY snapshot_date DESC LIMIT 1) s
	ORDER BY c.customer_key`

func customers(sql string, own bool) func(context.Context, *pgxpool.Pool, string) (any, error) {
	return func(ctx context.Context, pool *pgxpool.Pool, _ string) (any, error) {
		rows, err := pool.Query(ctx, sql)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c customer, err error) {
			var print packed
			var paths []*string
			if !own {
				err = row.Scan(&c.Key, &c.Orders, &c.ValueCents, &c.Date, &c.ChurnRisk, &paths)
				c.Dominant = paths
				return c, err
			}
			if err = row.Scan(&c.Key, &c.Orders, &c.ValueCents, &c.Date, &c.ChurnRisk, &print.dominant); err == nil {
				c.Dominant = print.dominants()
			}
			return c, err
		})
	}
}

const flatTree = `SELECT a.axis_id, a.key, s.segment_id, s.parent_id, s.path, s.name, s.member_count, s.share
	FROM bench.axis a JOIN bench.segment s USING (axis_id) ORDER BY s.segment_id`

const ownTree = `WITH counted AS (
	SELECT d.n AS axis_id, d.leaf, count(*)::int AS members, count(*)::float8 / sum(count(*)) OVER (PARTITION BY d.n) AS share
	FROM customer_state JOIN store USING (store_id), LATERAL (SELECT a + 1 AS n, dominant_at(dominant, a) AS leaf FROM generate_series(0, 13) a) d
	WHERE store_key = 'demo' AND d.leaf >= 0 GROUP BY 1, 2)
	SELECT a.axis_id, a.key, s.segment_id, s.parent_id, s.path, s.name, sum(c.members)::int, sum(c.share)
	FROM bench.axis a JOIN bench.segment s USING (axis_id)
	LEFT JOIN bench.segment leaf ON leaf.axis_id = s.axis_id AND leaf.leaf >= 0 AND (leaf.path = s.path OR starts_with(leaf.path, s.path || '.'))
	LEFT JOIN counted c ON c.axis_id = leaf.axis_id AND c.leaf = leaf.position
	GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY s.segment_id`

func tree(sql string) func(context.Context, *pgxpool.Pool, string) (any, error) {
	return func(ctx context.Context, pool *pgxpool.Pool, _ string) (any, error) {
		rows, err := pool.Query(ctx, sql)
		if err != nil {
			return nil, err
		}
		axes, byID := []*axis{}, map[int32]*segment{}
		var axisID, id, last int32
		var parent, members *int32
		var share *float64
		var key, path, name string
		_, err = pgx.ForEachRow(rows, []any{&axisID, &key, &id, &parent, &path, &name, &members, &share}, func() error {
			if axisID != last {
				axes, last = append(axes, &axis{Key: key, Segments: []*segment{}}), axisID
			}
			s := &segment{Path: path, Name: name, Children: []*segment{}}
			if members != nil {
				s.Members, s.Share = *members, *share
			}
			byID[id] = s
			if parent == nil {
				axes[len(axes)-1].Segments = append(axes[len(axes)-1].Segments, s)
			} else {
				byID[*parent].Children = append(byID[*parent].Children, s)
			}
			return nil
		})
		return axes, err
	}
}
