-- +goose Up
-- Who may use the API. Of a token only its SHA-256 is kept: tokens are random, so none can be guessed from it.
CREATE TABLE access_token (
  store_id int NOT NULL, -- 0: all stores
  token_id uuid NOT NULL,
  name text NOT NULL,    -- for people
  role text NOT NULL CHECK (role IN ('READER', 'OPERATOR', 'ADMIN')),
  hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz, -- NULL: never
  revoked_at timestamptz, -- NULL: it stands
  PRIMARY KEY (store_id, token_id)
);
CREATE UNIQUE INDEX access_token_by_id ON access_token (token_id);

-- The mutations that were asked for. Nothing of what they carried is here, so nothing of a customer.
CREATE TABLE audit_entry (
  store_id int NOT NULL DEFAULT 0, -- 0: all stores, or none that the caller may see
  entry_id bigint GENERATED ALWAYS AS IDENTITY,
  asked_at timestamptz NOT NULL DEFAULT now(),
  actor text NOT NULL,
  role text NOT NULL,
  mutation text NOT NULL, -- the field of Mutation
  outcome text NOT NULL DEFAULT 'STARTED' CHECK (outcome IN ('STARTED', 'SUCCEEDED', 'REFUSED', 'FORBIDDEN', 'FAILED')),
  codes text[] NOT NULL DEFAULT '{}', -- of its errors
  run_id uuid,            -- that it started
  PRIMARY KEY (store_id, entry_id)
);
CREATE INDEX audit_entry_newest ON audit_entry (entry_id DESC);

-- +goose Down
DROP TABLE audit_entry, access_token;
