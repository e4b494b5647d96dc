-- +goose Up
-- A cleanup finds what came with snapshots by date, and removes it in batches. Rows come nearly in the order of dates, so ranges of
-- pages are told apart well enough; a tree by date would be taken for lookups by customer while the server knows nothing of the table.
CREATE INDEX drift_event_by_date ON drift_event USING brin (to_date) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX segment_transition_by_date ON segment_transition USING brin (first_date) WITH (pages_per_range = 32, autosummarize = on);

-- +goose Down
DROP INDEX segment_transition_by_date, drift_event_by_date;
