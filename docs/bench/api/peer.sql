-- What the peers read: the same rows as Quimbi's, laid out to suit them (names beside the numbers, plain keys, no partitions).
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.customer AS
SELECT c.customer_id, c.customer_key, c.orders, c.value_cents FROM customer c JOIN store t USING (store_id) WHERE t.store_key = 'demo';
ALTER TABLE bench.customer ADD PRIMARY KEY (customer_id), ADD UNIQUE (customer_key);

CREATE TABLE bench.segment AS
WITH model AS (
  SELECT m.* FROM segment_model m JOIN store t USING (store_id) WHERE t.store_key = 'demo' ORDER BY model_id DESC LIMIT 1),
tree AS (
  SELECT a.n::int AS axis_id, s.n::int - 1 AS index, s.value AS body FROM model, jsonb_array_elements(model.body -> 'axes') WITH ORDINALITY a(value, n),
    jsonb_array_elements(a.value -> 'segments') WITH ORDINALITY s(value, n))
SELECT axis_id * 1000 + index AS segment_id, axis_id,
  CASE WHEN (body ->> 'parent')::int >= 0 THEN axis_id * 1000 + (body ->> 'parent')::int END AS parent_id,
  body ->> 'path' AS path, (body ->> 'leaf')::int AS leaf,
  (row_number() OVER (PARTITION BY (body ->> 'leaf')::int >= 0 ORDER BY axis_id, index))::int - 1 AS position, -- of a leaf, in a thumbprint
  body ->> 'name' AS name, (body ->> 'members')::int AS member_count, (body ->> 'share')::float8 AS share
FROM tree;
ALTER TABLE bench.segment ADD PRIMARY KEY (segment_id), ADD FOREIGN KEY (parent_id) REFERENCES bench.segment;
CREATE INDEX ON bench.segment (parent_id);
CREATE INDEX ON bench.segment (axis_id);
CREATE TABLE bench.axis AS
SELECT a.n::int AS axis_id, a.key FROM (SELECT axis FROM segment_model m JOIN store t USING (store_id) WHERE t.store_key = 'demo' ORDER BY model_id DESC LIMIT 1) m, unnest(m.axis) WITH ORDINALITY a(key, n);
ALTER TABLE bench.axis ADD PRIMARY KEY (axis_id);
ALTER TABLE bench.segment ADD FOREIGN KEY (axis_id) REFERENCES bench.axis;

CREATE TABLE bench.snapshot AS
SELECT s.customer_id, s.snapshot_date, s.drift, s.churn_risk, s.orders, s.value_cents, memberships(s.membership) AS membership,
  (SELECT array_agg(p.path[d + 1] ORDER BY n) FROM unnest(dominants(s.dominant)) WITH ORDINALITY u(d, n)) AS dominant
FROM snapshot s JOIN store t USING (store_id) CROSS JOIN (
  SELECT array_agg(path ORDER BY position) AS path FROM bench.segment WHERE leaf >= 0) p WHERE t.store_key = 'demo' AND s.snapshot_type = 2;
ALTER TABLE bench.snapshot ADD PRIMARY KEY (customer_id, snapshot_date), ADD FOREIGN KEY (customer_id) REFERENCES bench.customer;
ANALYZE bench.customer, bench.segment, bench.axis, bench.snapshot;
