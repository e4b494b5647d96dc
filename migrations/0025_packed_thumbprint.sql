-- +goose NO TRANSACTION
-- +goose Up
-- Thumbprints take fewer bytes: packed rather than as arrays, and snapshots in an order of columns that leaves no gaps. Leaves of
-- snapshots are written anew one by one, each in a transaction of its own, so that neither locks nor the disk bound how many there may
-- be. Interrupted, it goes on where it was.

-- Memberships are two bytes each, as smallint is sent: ffff is -1. The value at a position from 0; NULL behind the last.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION membership_at(m bytea, pos int) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN 2 * pos + 1 < octet_length(m) THEN ((get_byte(m, 2 * pos) # 128) * 256 + get_byte(m, 2 * pos + 1) - 32768)::smallint END $$;
-- +goose StatementEnd
-- Dominant segments are a byte with the width of what follows, 1 or 2 bytes for each axis; all bits set are -1.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION dominant_at(d bytea, axis int) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT CASE
     WHEN (axis + 1) * get_byte(d, 0) >= octet_length(d) THEN NULL
     WHEN get_byte(d, 0) = 2 THEN ((get_byte(d, 2 * axis + 1) # 128) * 256 + get_byte(d, 2 * axis + 2) - 32768)::smallint
     WHEN get_byte(d, axis + 1) = 255 THEN -1::smallint
     ELSE get_byte(d, axis + 1)::smallint END $$;
-- +goose StatementEnd
-- The same as arrays, to look at.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION memberships(m bytea) RETURNS smallint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT coalesce(array_agg(membership_at(m, i) ORDER BY i), '{}') FROM generate_series(0, octet_length(m) / 2 - 1) i $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION dominants(d bytea) RETURNS smallint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT coalesce(array_agg(dominant_at(d, i) ORDER BY i), '{}') FROM generate_series(0, (octet_length(d) - 1) / get_byte(d, 0) - 1) i $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pack_memberships(m smallint[]) RETURNS bytea LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS
$$ DECLARE v smallint; b bytea := ''; BEGIN FOREACH v IN ARRAY m LOOP b := b || int2send(v); END LOOP; RETURN b; END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pack_dominants(d smallint[]) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN 255 > ALL (d) THEN '\x01' || coalesce(string_agg(substring(int2send(v) FROM 2), '' ORDER BY i), '')
     ELSE '\x02' || string_agg(int2send(v), '' ORDER BY i) END FROM unnest(d) WITH ORDINALITY u(v, i) $$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
  kind text;
  leaf record;
  form regtype;
BEGIN
  SELECT atttypid::regtype INTO form FROM pg_attribute WHERE attrelid = 'customer_state'::regclass AND attname = 'membership';
  IF form = 'smallint[]'::regtype THEN
    ALTER TABLE customer_state ALTER membership TYPE bytea USING pack_memberships(membership), ALTER dominant TYPE bytea USING pack_dominants(dominant);
  END IF;

  SELECT atttypid::regtype INTO form FROM pg_attribute WHERE attrelid = 'snapshot'::regclass AND attname = 'membership';
  IF form = 'smallint[]'::regtype THEN
    FOREACH kind IN ARRAY ARRAY['', '_daily', '_weekly', '_monthly', '_quarterly', '_yearly'] LOOP
      EXECUTE format('ALTER TABLE snapshot%1$s RENAME TO snapshot_array%1$s', kind);
      EXECUTE format('ALTER INDEX snapshot%1$s_pkey RENAME TO snapshot_array%1$s_pkey', kind);
    END LOOP;
    CREATE TABLE snapshot (
      customer_id bigint NOT NULL,
      value_cents bigint NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      predicted_ltv_cents bigint,
      store_id int NOT NULL,
      snapshot_date date NOT NULL,
      model_id int NOT NULL,
      orders int NOT NULL,
      first_order date NOT NULL,
      churn_risk real,
      drift real,                     -- overall, from the snapshot of this type before; NULL where there is none to compare
      largest_drift real,             -- of the axes, likewise
      snapshot_type smallint NOT NULL CHECK (snapshot_type BETWEEN 1 AND 5), -- daily weekly monthly quarterly yearly
      active boolean NOT NULL,        -- a line or refund fell into the interval since the snapshot before
      replayed boolean NOT NULL DEFAULT false, -- written by a replay run: kept by scheduled cleanup
      dominant bytea NOT NULL,        -- position of the leaf in which the path ends, one an axis; see dominant_at
      membership bytea NOT NULL,      -- membership x 10000 in the leaves, in the model's order; an axis sums to 10000; see membership_at
      feature real[],                 -- all raw features in the registry's order, NULL = undefined
      PRIMARY KEY (store_id, customer_id, snapshot_type, snapshot_date)
    ) PARTITION BY LIST (snapshot_type);
    CREATE TABLE snapshot_daily PARTITION OF snapshot FOR VALUES IN (1) PARTITION BY RANGE (snapshot_date);
    CREATE TABLE snapshot_weekly PARTITION OF snapshot FOR VALUES IN (2) PARTITION BY RANGE (snapshot_date);
    CREATE TABLE snapshot_monthly PARTITION OF snapshot FOR VALUES IN (3) PARTITION BY RANGE (snapshot_date);
    CREATE TABLE snapshot_quarterly PARTITION OF snapshot FOR VALUES IN (4) PARTITION BY RANGE (snapshot_date);
    CREATE TABLE snapshot_yearly PARTITION OF snapshot FOR VALUES IN (5) PARTITION BY RANGE (snapshot_date);
    PERFORM fence('snapshot');
    -- Replaced rather than made anew, so whoever may read it may read it still.
    CREATE OR REPLACE VIEW temporal_snapshots WITH (security_invoker = true) AS
    SELECT md5(concat_ws('/', s.store_id, s.customer_id, s.snapshot_type, s.snapshot_date - DATE '2000-01-01'))::uuid AS snapshot_id,
           s.customer_id, c.customer_key, t.store_key AS store_id, s.snapshot_date,
           (ARRAY['daily','weekly','monthly','quarterly','yearly'])[s.snapshot_type] AS snapshot_type,
           format(m.member_json, VARIADIC membership_texts(memberships(s.membership)))::jsonb AS fuzzy_memberships,
           format(m.dominant_json, VARIADIC dominant_names(m.segment, dominants(s.dominant)))::jsonb AS dominant_segments,
           s.churn_risk AS churn_risk_score, round(s.predicted_ltv_cents / 100.0, 2) AS predicted_ltv,
           s.orders AS orders_at_snapshot, round(s.value_cents / 100.0, 2) AS total_value_at_snapshot,
           s.snapshot_date - s.first_order AS days_since_first_order,
           (s.snapshot_date - s.first_order) / 30.44 AS tenure_months, s.created_at, 'v1.0'::varchar(10) AS data_version
    FROM snapshot s
    LEFT JOIN store t USING (store_id)
    LEFT JOIN segment_model m USING (store_id, model_id)
    LEFT JOIN customer c USING (store_id, customer_id);
  END IF;
  COMMIT;
  IF to_regclass('snapshot_array') IS NULL THEN
    RETURN;
  END IF;

  FOREACH kind IN ARRAY ARRAY['daily', 'weekly', 'monthly', 'quarterly', 'yearly'] LOOP
    FOR leaf IN
      SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = ('snapshot_array_' || kind)::regclass AND NOT i.inhdetachpending ORDER BY c.relname
    LOOP
      EXECUTE format('CREATE TABLE snapshot_packed (LIKE snapshot_%s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', kind);
      EXECUTE format('INSERT INTO snapshot_packed (customer_id, value_cents, created_at, predicted_ltv_cents, store_id, snapshot_date, model_id, orders,
          first_order, churn_risk, drift, largest_drift, snapshot_type, active, replayed, dominant, membership, feature)
        SELECT customer_id, value_cents, created_at, predicted_ltv_cents, store_id, snapshot_date, model_id, orders,
          first_order, churn_risk, drift, largest_drift, snapshot_type, active, replayed, pack_dominants(dominant), pack_memberships(membership), feature FROM %I', leaf.name);
      EXECUTE format('DROP TABLE %I', leaf.name);
      EXECUTE format('ALTER TABLE snapshot_packed RENAME TO %I', leaf.name);
      EXECUTE format('ALTER TABLE snapshot_%s ATTACH PARTITION %I %s', kind, leaf.name, leaf.bounds);
      COMMIT;
    END LOOP;
  END LOOP;
  DROP TABLE snapshot_array; -- with leaves that a cleanup had begun to take out
END $$;
-- +goose StatementEnd
DROP FUNCTION IF EXISTS pack_memberships(smallint[]);
DROP FUNCTION IF EXISTS pack_dominants(smallint[]);

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
  kind text;
  leaf record;
  form regtype;
BEGIN
  SELECT atttypid::regtype INTO form FROM pg_attribute WHERE attrelid = 'customer_state'::regclass AND attname = 'membership';
  IF form = 'bytea'::regtype THEN
    ALTER TABLE customer_state ALTER membership TYPE smallint[] USING memberships(membership), ALTER dominant TYPE smallint[] USING dominants(dominant);
  END IF;

  SELECT atttypid::regtype INTO form FROM pg_attribute WHERE attrelid = 'snapshot'::regclass AND attname = 'membership';
  IF form = 'bytea'::regtype THEN
    FOREACH kind IN ARRAY ARRAY['', '_daily', '_weekly', '_monthly', '_quarterly', '_yearly'] LOOP
      EXECUTE format('ALTER TABLE snapshot%1$s RENAME TO snapshot_packed%1$s', kind);
      EXECUTE format('ALTER INDEX snapshot%1$s_pkey RENAME TO snapshot_packed%1$s_pkey', kind);
    END LOOP;
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
    PERFORM fence('snapshot');
    CREATE OR REPLACE VIEW temporal_snapshots WITH (security_invoker = true) AS
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
  END IF;
  COMMIT;
  IF to_regclass('snapshot_packed') IS NULL THEN
    RETURN;
  END IF;

  FOREACH kind IN ARRAY ARRAY['daily', 'weekly', 'monthly', 'quarterly', 'yearly'] LOOP
    FOR leaf IN
      SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = ('snapshot_packed_' || kind)::regclass AND NOT i.inhdetachpending ORDER BY c.relname
    LOOP
      EXECUTE format('CREATE TABLE snapshot_array (LIKE snapshot_%s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', kind);
      EXECUTE format('INSERT INTO snapshot_array (customer_id, value_cents, created_at, predicted_ltv_cents, store_id, snapshot_date, model_id, orders,
          first_order, churn_risk, drift, largest_drift, snapshot_type, active, replayed, dominant, membership, feature)
        SELECT customer_id, value_cents, created_at, predicted_ltv_cents, store_id, snapshot_date, model_id, orders,
          first_order, churn_risk, drift, largest_drift, snapshot_type, active, replayed, dominants(dominant), memberships(membership), feature FROM %I', leaf.name);
      EXECUTE format('DROP TABLE %I', leaf.name);
      EXECUTE format('ALTER TABLE snapshot_array RENAME TO %I', leaf.name);
      EXECUTE format('ALTER TABLE snapshot_%s ATTACH PARTITION %I %s', kind, leaf.name, leaf.bounds);
      COMMIT;
    END LOOP;
  END LOOP;
  DROP TABLE snapshot_packed;
END $$;
-- +goose StatementEnd
DROP FUNCTION IF EXISTS dominants(bytea);
DROP FUNCTION IF EXISTS memberships(bytea);
DROP FUNCTION IF EXISTS dominant_at(bytea, int);
DROP FUNCTION IF EXISTS membership_at(bytea, int);
