-- +goose Up
-- What a backtest found, whole; kept apart from the run, whose row is read in lists.
CREATE TABLE backtest (
  store_id int NOT NULL,
  run_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  result jsonb NOT NULL,
  PRIMARY KEY (store_id, run_id),
  FOREIGN KEY (store_id, run_id) REFERENCES run (store_id, run_id) ON DELETE CASCADE
);

-- +goose Down
DROP TABLE backtest;
