-- +goose Up
ALTER TABLE drift_event ADD risk_change float8; -- risk weight of the segment after less that of the one before; NULL before outcomes are known
WITH weight AS MATERIALIZED (
  SELECT m.store_id, m.model_id, a.n - 1 AS axis, s.n - 1 AS segment, (s.value->>'riskWeight')::float8 AS risk
  FROM segment_model m, jsonb_array_elements(m.body->'axes') WITH ORDINALITY a(value, n),
    jsonb_array_elements(CASE WHEN jsonb_typeof(a.value->'segments') = 'array' THEN a.value->'segments' ELSE '[]' END) WITH ORDINALITY s(value, n)
  WHERE s.value ? 'riskWeight')
UPDATE drift_event e SET risk_change = t.risk - f.risk FROM weight f JOIN weight t USING (store_id, model_id, axis)
WHERE f.store_id = e.store_id AND f.model_id = e.model_id AND f.axis = e.axis AND f.segment = e.from_segment AND t.segment = e.to_segment;

-- +goose Down
ALTER TABLE drift_event DROP risk_change;
