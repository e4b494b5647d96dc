-- +goose Up
-- A move on one axis over the threshold, between consecutive snapshots of one type under one model.
CREATE TABLE drift_event (
  store_id int NOT NULL,
  event_id bigint GENERATED ALWAYS AS IDENTITY, -- events of one store are read newest first by (to_date, event_id)
  customer_id bigint NOT NULL,
  axis smallint NOT NULL, -- index in the registry
  snapshot_type smallint NOT NULL,
  from_date date NOT NULL,
  to_date date NOT NULL,
  model_id int NOT NULL,
  score float8 NOT NULL,
  from_segment smallint NOT NULL, -- dominant root before and after: index in the axis's segments
  to_segment smallint NOT NULL,
  by_order boolean NOT NULL, -- a line or refund fell into the interval; else time alone moved the customer
  axis_anomaly boolean NOT NULL,
  overall_anomaly boolean NOT NULL,
  overall float8, -- of all axes, NULL where too few count
  mean_score float8 NOT NULL,
  coverage real NOT NULL,
  largest_axis smallint NOT NULL,
  largest_score float8 NOT NULL,
  moderate_axes smallint NOT NULL,
  detected_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (store_id, event_id)
);
CREATE UNIQUE INDEX drift_event_by_customer ON drift_event (store_id, customer_id, snapshot_type, to_date, axis);
-- The feed shows by default what is moderate or more and was caused by orders.
CREATE INDEX drift_event_feed ON drift_event (store_id, to_date DESC, event_id DESC) WHERE score >= 0.3 AND by_order;

-- +goose Down
DROP TABLE drift_event;
