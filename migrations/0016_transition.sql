-- +goose Up
-- Changes of the dominant segment, as far as the segments are clear of each other; unclear ones are remembered until they are.
CREATE TABLE segment_transition (
  store_id int NOT NULL,
  transition_id bigint GENERATED ALWAYS AS IDENTITY,
  customer_id bigint NOT NULL,
  snapshot_type smallint NOT NULL,
  axis smallint NOT NULL, -- index in the registry
  model_id int NOT NULL,
  from_segment smallint NOT NULL, -- indices in the axis's segments
  to_segment smallint NOT NULL,
  first_date date NOT NULL,       -- of the first snapshot with the new segment clear enough
  state smallint NOT NULL CHECK (state BETWEEN 0 AND 3), -- unclear pending confirmed reverted
  settled_on date,                -- NULL while the next snapshot has a say
  lead smallint NOT NULL,         -- x 10000, on first_date
  score float8 NOT NULL,          -- drift on the axis from the snapshot before
  by_order boolean NOT NULL,
  PRIMARY KEY (store_id, transition_id)
);
CREATE UNIQUE INDEX segment_transition_by_customer ON segment_transition (store_id, customer_id, snapshot_type, axis, first_date);
CREATE INDEX segment_transition_feed ON segment_transition (store_id, first_date DESC, transition_id DESC) WHERE state > 0;
CREATE INDEX segment_transition_open ON segment_transition (store_id, snapshot_type, customer_id) WHERE settled_on IS NULL;

-- +goose Down
DROP TABLE segment_transition;
