-- +goose Up
-- A cleanup finds what came with the snapshots of a type by date, and removes it in batches.
CREATE INDEX drift_event_by_date ON drift_event (store_id, snapshot_type, to_date) WHERE NOT provisional;
CREATE INDEX segment_transition_by_date ON segment_transition (store_id, snapshot_type, first_date);

-- +goose Down
DROP INDEX segment_transition_by_date, drift_event_by_date;
