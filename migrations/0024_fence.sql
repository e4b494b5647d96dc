-- +goose Up
-- The second fence around stores: what the API reads for somebody with some stores it reads as role quimbi_api, which sees the rows
-- of the stores in the setting quimbi.stores alone, whatever a statement forgets to ask for. Owners, who do the work, are not
-- bound: to force them would forbid them COPY. The role belongs to the whole server, so the way down leaves it.
-- +goose StatementBegin
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'quimbi_api') THEN
    CREATE ROLE quimbi_api;
  END IF;
  IF NOT pg_has_role(current_user, 'quimbi_api', 'MEMBER') THEN
    EXECUTE format('GRANT quimbi_api TO %I', current_user);
  END IF;
EXCEPTION
  WHEN insufficient_privilege THEN
    RAISE NOTICE 'role quimbi_api cannot be made: see "The second fence" in docs/operations.md';
  WHEN duplicate_object OR unique_violation THEN
    NULL; -- somebody else made it at the same time
END $$;
-- +goose StatementEnd

CREATE FUNCTION fence_open() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT current_user <> 'quimbi_api' AND coalesce(current_setting('quimbi.stores', true), '') = '' $$;

CREATE FUNCTION fence_stores() RETURNS int[] LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT string_to_array(nullif(current_setting('quimbi.stores', true), ''), ',')::int[] $$;

-- Puts a table behind the fence; every table with a store_id belongs there. The sub-selects are worked out once a statement, and not
-- for each row.
-- +goose StatementBegin
CREATE FUNCTION fence(t regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
  EXECUTE format('DROP POLICY IF EXISTS fence ON %s', t);
  EXECUTE format('CREATE POLICY fence ON %s USING ((SELECT fence_open()) OR store_id = ANY ((SELECT fence_stores())::int[]))', t);
  IF t <> 'access_token'::regclass AND EXISTS (SELECT FROM pg_roles WHERE rolname = 'quimbi_api') THEN
    EXECUTE format('GRANT SELECT ON %s TO quimbi_api', t);
  END IF;
END $$;
-- +goose StatementEnd

-- All tables with stores; partitions are reached by way of the whole alone.
-- +goose StatementBegin
CREATE FUNCTION fence_all() RETURNS void LANGUAGE sql AS $$
  SELECT fence(c.oid) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'store_id' AND NOT a.attisdropped
  WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
$$;
-- +goose StatementEnd
SELECT fence_all();

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE t regclass;
BEGIN
  FOR t IN SELECT polrelid FROM pg_policy WHERE polname = 'fence' LOOP
    EXECUTE format('DROP POLICY fence ON %s', t);
    EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', t);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'quimbi_api') THEN
      EXECUTE format('REVOKE SELECT ON %s FROM quimbi_api', t);
    END IF;
  END LOOP;
END $$;
-- +goose StatementEnd
DROP FUNCTION fence_all();
DROP FUNCTION fence(regclass);
DROP FUNCTION fence_stores();
DROP FUNCTION fence_open();
