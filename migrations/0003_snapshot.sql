-- +goose Up
CREATE TABLE snapshot (
  store_id int NOT NULL,
  customer_id bigint NOT NULL,
  snapshot_type smallint NOT NULL CHECK (snapshot_type BETWEEN 1 AND 5), -- daily weekly monthly quarterly yearly
  snapshot_date date NOT NULL,
  model_id int NOT NULL,
  membership smallint[] NOT NULL, -- membership x 10000 in the leaves, in the model's order; an axis sums to 10000; -1 = none
  dominant smallint[] NOT NULL,   -- position of the strongest leaf, one an axis; -1 = none
  feature real[],                 -- all raw features in the registry's order, NULL = undefined
  churn_risk real,
  predicted_ltv_cents bigint,
  orders int NOT NULL,
  value_cents bigint NOT NULL,
  first_order date NOT NULL,
  drift real,                     -- overall, from the snapshot of this type before; NULL where there is none to compare
  largest_drift real,             -- of the axes, likewise
  active boolean NOT NULL,        -- a line or refund fell into the interval since the snapshot before
  replayed boolean NOT NULL DEFAULT false, -- written by a replay run: kept by scheduled cleanup
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (store_id, customer_id, snapshot_type, snapshot_date)
) PARTITION BY LIST (snapshot_type);
CREATE TABLE snapshot_daily PARTITION OF snapshot FOR VALUES IN (1) PARTITION BY RANGE (snapshot_date);
CREATE TABLE snapshot_weekly PARTITION OF snapshot FOR VALUES IN (2) PARTITION BY RANGE (snapshot_date);
CREATE TABLE snapshot_monthly PARTITION OF snapshot FOR VALUES IN (3) PARTITION BY RANGE (snapshot_date);
CREATE TABLE snapshot_quarterly PARTITION OF snapshot FOR VALUES IN (4) PARTITION BY RANGE (snapshot_date);
CREATE TABLE snapshot_yearly PARTITION OF snapshot FOR VALUES IN (5) PARTITION BY RANGE (snapshot_date);

-- Where each customer stands now, under the model in force: lists, filters and sorts read it. Written in the same
-- transaction as the snapshots or the model that it comes from.
CREATE TABLE customer_state (
  store_id int NOT NULL,
  customer_id bigint NOT NULL,
  model_id int NOT NULL,
  state_date date NOT NULL,
  membership smallint[] NOT NULL,
  dominant smallint[] NOT NULL,
  feature real[],
  largest_drift real, -- over the axes, from the snapshot before; NULL where there is none to compare
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (store_id, customer_id)
) WITH (fillfactor = 80);

-- The table that the source document promises, as a view: same names and JSON shapes; JSON is built only when selected.
-- +goose StatementBegin
CREATE FUNCTION dominant_names(seg text[], pos smallint[]) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT array_agg(coalesce(to_json(seg[p + 1])::text, 'null') ORDER BY i) FROM unnest(pos) WITH ORDINALITY u(p, i) $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION membership_texts(m smallint[]) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT coalesce(array_agg(CASE WHEN v < 0 THEN 'null' ELSE trim_scale(v / 10000.0)::text END ORDER BY i), '{}') FROM unnest(m) WITH ORDINALITY u(v, i) $$;
-- +goose StatementEnd
CREATE VIEW temporal_snapshots WITH (security_invoker = true) AS
SELECT md5(concat_ws('/', s.store_id, s.customer_id, s.snapshot_type, s.snapshot_date - DATE '2000-01-01'))::uuid AS snapshot_id,
       s.customer_id, c.customer_key, t.store_key AS store_id, s.snapshot_date,
       (ARRAY['daily','weekly','monthly','quarterly','yearly'])[s.snapshot_type] AS snapshot_type,
       format(m.member_json, VARIADIC membership_texts(s.membership))::jsonb AS fuzzy_memberships,
       format(m.dominant_json, VARIADIC dominant_names(m.segment, s.dominant))::jsonb AS dominant_segments,
       s.churn_risk AS churn_risk_score, round(s.predicted_ltv_cents / 100.0, 2) AS predicted_ltv,
       s.orders AS orders_at_snapshot, round(s.value_cents / 100.0, 2) AS total_value_at_snapshot,
       s.snapshot_date - s.first_order AS days_since_first_order,
       (s.snapshot_date - s.first_order) / 30.44 AS tenure_months, s.created_at, 'v1.0'::varchar(10) AS data_version
FROM snapshot s
LEFT JOIN store t USING (store_id)
LEFT JOIN segment_model m USING (store_id, model_id)
LEFT JOIN customer c USING (store_id, customer_id);

-- +goose Down
DROP VIEW temporal_snapshots;
DROP FUNCTION membership_texts(smallint[]);
DROP FUNCTION dominant_names(text[], smallint[]);
DROP TABLE customer_state, snapshot;
