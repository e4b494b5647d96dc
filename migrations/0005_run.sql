-- +goose Up
-- The product's record of work; River, with tables of its own, executes. A slot happens once because of its key.
CREATE TABLE run (
  store_id int NOT NULL, -- 0: all stores
  run_id uuid NOT NULL,
  kind text NOT NULL,
  slot text,             -- type and planned time, for example weekly:2026-11-22T03:00:00Z; NULL unless the schedule started it
  slot_at timestamptz,
  trigger text NOT NULL,
  state text NOT NULL DEFAULT 'QUEUED' CHECK (state IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  stage text NOT NULL DEFAULT '',
  axis text NOT NULL DEFAULT '',
  done int NOT NULL DEFAULT 0,
  total int NOT NULL DEFAULT 0, -- 0: not known yet
  rows bigint NOT NULL DEFAULT 0,
  events bigint NOT NULL DEFAULT 0,
  request jsonb NOT NULL,
  report jsonb,
  failure text NOT NULL DEFAULT '',
  idempotency_key text,
  river_job bigint,      -- the job that starts it; NULL where a command works on it itself
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (store_id, run_id),
  UNIQUE (run_id)
);
CREATE UNIQUE INDEX run_slot ON run (store_id, kind, slot);
CREATE UNIQUE INDEX run_idempotency ON run (store_id, kind, idempotency_key);
CREATE INDEX run_newest ON run (store_id, created_at DESC, run_id DESC);
CREATE INDEX run_open ON run (kind, store_id) WHERE state IN ('QUEUED', 'RUNNING');

-- How long snapshots of each type are kept for a store, where it is not the installation's figure.
CREATE TABLE retention_override (
  store_id int NOT NULL,
  snapshot_type smallint NOT NULL CHECK (snapshot_type BETWEEN 1 AND 5),
  keep_days int NOT NULL CHECK (keep_days >= 1),
  PRIMARY KEY (store_id, snapshot_type)
);

-- +goose Down
DROP TABLE retention_override, run;
