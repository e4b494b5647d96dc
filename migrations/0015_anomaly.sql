-- +goose Up
-- How the overall drifts of a store's customers lie in the interval that ends on a date: written when a run is over.
CREATE TABLE drift_spread (
  store_id int NOT NULL,
  snapshot_type smallint NOT NULL,
  to_date date NOT NULL,
  customers int NOT NULL,
  quantile real[] NOT NULL, -- in steps of half a percent, from the least to the largest
  PRIMARY KEY (store_id, snapshot_type, to_date)
);
-- The overall drifts of intervals with an order: what is ordinary for a customer. They outlive the snapshots.
CREATE TABLE customer_drift (
  store_id int NOT NULL,
  snapshot_type smallint NOT NULL,
  customer_id bigint NOT NULL,
  to_date date NOT NULL,
  drift real NOT NULL,
  PRIMARY KEY (store_id, snapshot_type, customer_id, to_date)
);
INSERT INTO customer_drift SELECT store_id, snapshot_type, customer_id, snapshot_date, drift FROM snapshot WHERE active AND drift IS NOT NULL;
INSERT INTO drift_spread
SELECT store_id, snapshot_type, snapshot_date, count(drift), percentile_cont((SELECT array_agg(i / 200.0::float8 ORDER BY i) FROM generate_series(0, 200) i)) WITHIN GROUP (ORDER BY drift)
FROM snapshot WHERE drift IS NOT NULL GROUP BY 1, 2, 3;

-- Robust deviations of the overall drift from the customer's own; NULL where too few are known.
ALTER TABLE drift_event ADD robust_z float8;

-- +goose Down
ALTER TABLE drift_event DROP robust_z;
DROP TABLE customer_drift, drift_spread;
