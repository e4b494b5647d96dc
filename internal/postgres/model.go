package postgres

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// StoredModel is a model with what the database knows beside it.
type StoredModel struct {
	*engine.Model
	StoreID  int32
	RunID    string
	FittedAt time.Time
}

const modelByVersion = `-- name: ModelByVersion
SELECT store_id, model_id, run_id::text, fitted_at, body FROM segment_model WHERE store_id = $1 AND model_id = $2`

const newestModel = `-- name: NewestModel
SELECT store_id, model_id, run_id::text, fitted_at, body FROM segment_model WHERE store_id = $1 ORDER BY model_id DESC LIMIT 1`

const newestModelVersion = `-- name: NewestModelVersion
SELECT coalesce(max(model_id), 0) FROM segment_model WHERE store_id = $1`

const insertModel = `-- name: InsertModel
INSERT INTO segment_model (store_id, model_id, run_id, as_of, customers, axis, first_pos, segment, member_json, dominant_json, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

func scanModel(row pgx.CollectableRow) (*StoredModel, error) {
	var m StoredModel
	var version int
	var body []byte
	if err := row.Scan(&m.StoreID, &version, &m.RunID, &m.FittedAt, &body); err != nil {
		return nil, err
	}
	m.Model = &engine.Model{}
	if err := json.Unmarshal(body, m.Model); err != nil {
		return nil, err
	}
	m.Version = version
	return &m, nil
}

// Model gives one version of a store's model. Fault: NOT_FOUND.
func (db *DB) Model(ctx context.Context, storeID int32, version int) (*StoredModel, error) {
	return one(ctx, db.read(ctx), scanModel, engine.Errorf(engine.CodeNotFound, "there is no model %d", version), modelByVersion, storeID, version)
}

// NewestModel gives the model in force. Fault: NOT_FOUND before the first re-clustering.
func (db *DB) NewestModel(ctx context.Context, storeID int32) (*StoredModel, error) {
	return one(ctx, db.read(ctx), scanModel, engine.Errorf(engine.CodeNotFound, "the store has not been clustered yet; run recluster first"), newestModel, storeID)
}

// NewestModelVersion gives the number of the model in force, 0 before the first re-clustering.
func (db *DB) NewestModelVersion(ctx context.Context, storeID int32) (int, error) {
	var version int
	err := db.read(ctx).QueryRow(ctx, newestModelVersion, storeID).Scan(&version)
	return version, err
}

const hasModel = `-- name: HasModel
SELECT EXISTS (SELECT FROM segment_model WHERE store_id = $1 AND model_id = $2)`

// HasModel tells whether the store has a model of this version.
func (db *DB) HasModel(ctx context.Context, storeID int32, version int) (bool, error) {
	var known bool
	err := db.read(ctx).QueryRow(ctx, hasModel, storeID, version).Scan(&known)
	return known, err
}

// NewestModelVersion does the same as seen by the transaction.
func (tx *Tx) NewestModelVersion(ctx context.Context, storeID int32) (int, error) {
	var version int
	err := tx.QueryRow(ctx, newestModelVersion, storeID).Scan(&version)
	return version, err
}

// NextModelVersion gives the number for a new model; no other one is given out for the store until the transaction ends.
func (tx *Tx) NextModelVersion(ctx context.Context, storeID int32) (int, error) {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('model'), $1)", storeID); err != nil {
		return 0, err
	}
	version, err := tx.NewestModelVersion(ctx, storeID)
	return version + 1, err
}

// InsertModel puts a model in force.
func (tx *Tx) InsertModel(ctx context.Context, storeID int32, runID string, m *engine.Model) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	axes, first, segments := leafNames(m)
	memberships, dominant := viewFormats(m)
	_, err = tx.Exec(ctx, insertModel, storeID, m.Version, runID, dateParam(m.AsOf), m.Customers, axes, first, segments, memberships, dominant, body)
	return err
}

// leafNames gives the axes' keys, where each axis's leaves begin, and the leaves' names.
func leafNames(m *engine.Model) (axes []string, first []int16, segments []string) {
	segments = []string{}
	for a := range m.Axes {
		axes, first = append(axes, engine.Axes[a].Key), append(first, int16(len(segments)))
		for i := range m.Axes[a].Segments {
			if s := &m.Axes[a].Segments[i]; s.IsLeaf() {
				segments = append(segments, s.Name)
			}
		}
	}
	return axes, first, segments
}

// ModelChannel is the channel on which it is told that a model has new names.
const ModelChannel = "quimbi_model"

const modelToRename = modelByVersion + ` FOR UPDATE`

const renameModel = `-- name: RenameModel
UPDATE segment_model SET segment = $3, member_json = $4, dominant_json = $5, body = $6 WHERE store_id = $1 AND model_id = $2`

const notifyModel = `SELECT pg_notify('quimbi_model', $1::int::text)`

// RenameInModel lets rename change names in a model, and nothing else, and tells everyone who keeps models. Faults: NOT_FOUND, and
// rename's.
func (db *DB) RenameInModel(ctx context.Context, storeID int32, version int, rename func(*engine.Model) error) error {
	return db.InTx(ctx, func(tx *Tx) error {
		m, err := one(ctx, tx, scanModel, engine.Errorf(engine.CodeNotFound, "there is no model %d", version), modelToRename, storeID, version)
		if err != nil {
			return err
		}
		if err := rename(m.Model); err != nil {
			return err
		}
		body, err := json.Marshal(m.Model)
		if err != nil {
			return err
		}
		_, _, segments := leafNames(m.Model)
		memberships, dominant := viewFormats(m.Model)
		if _, err := tx.Exec(ctx, renameModel, storeID, version, segments, memberships, dominant, body); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, notifyModel, storeID)
		return err
	})
}

// viewFormats gives the two format strings from which the view temporal_snapshots builds its JSON. An axis without
// segments does not appear in the memberships, and is null among the dominant segments.
func viewFormats(m *engine.Model) (memberships, dominant string) {
	quote := func(s string) string {
		quoted, _ := json.Marshal(s) // a string always marshals
		return strings.ReplaceAll(string(quoted), "%", "%%")
	}
	var members, dominants []string
	for a := range m.Axes {
		key := quote(engine.Axes[a].Key)
		dominants = append(dominants, key+": %s")
		var parts []string
		for i := range m.Axes[a].Segments {
			if s := &m.Axes[a].Segments[i]; s.IsLeaf() {
				parts = append(parts, quote(s.Name)+": %s")
			}
		}
		if len(parts) > 0 {
			members = append(members, key+": {"+strings.Join(parts, ", ")+"}")
		}
	}
	return "{" + strings.Join(members, ", ") + "}", "{" + strings.Join(dominants, ", ") + "}"
}
