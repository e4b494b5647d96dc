-- +goose Up
-- What can be set for a store beside its name, currency, time zone and schedule.
ALTER TABLE store
  ADD COLUMN week_start smallint NOT NULL DEFAULT 0 CHECK (week_start BETWEEN 0 AND 6), -- 0: Sunday, as snapshots have it
  ADD COLUMN purchase_statuses text[] NOT NULL DEFAULT '{}', -- empty: what the format's shop system counts
  ADD COLUMN key_zone text NOT NULL DEFAULT ''; -- the zone that lines without order ids got their keys by, where it is not time_zone

-- The proof that a customer was erased. It holds nothing that leads back to the person.
CREATE TABLE erasure (
  store_id int NOT NULL,
  erasure_id uuid NOT NULL,
  erased_at timestamptz NOT NULL DEFAULT now(),
  orders int NOT NULL,
  removed jsonb NOT NULL, -- table -> rows
  hash bytea NOT NULL,    -- SHA-256 of a salt that is not kept and the export of what was removed
  PRIMARY KEY (store_id, erasure_id)
);

-- +goose Down
DROP TABLE erasure;
ALTER TABLE store DROP COLUMN week_start, DROP COLUMN purchase_statuses, DROP COLUMN key_zone;
