-- +goose Up
-- A model fixes the order of a thumbprint: position -> (axis, segment). Rows are never changed.
CREATE TABLE segment_model (
  store_id int NOT NULL,
  model_id int NOT NULL, -- counts up from 1 in each store
  run_id uuid NOT NULL,
  as_of date NOT NULL,   -- fitted on what was ordered before this day
  customers int NOT NULL,
  fitted_at timestamptz NOT NULL DEFAULT now(),
  axis text[] NOT NULL,          -- keys of the axes, in order
  first_pos smallint[] NOT NULL, -- position of the first leaf of each; equal to the next one's where an axis has none
  segment text[] NOT NULL,       -- names of the leaves by position
  member_json text NOT NULL,     -- format string of the view's memberships, a percent sign in a name doubled
  dominant_json text NOT NULL,   -- likewise of the dominant segments
  body jsonb NOT NULL,           -- the whole model
  PRIMARY KEY (store_id, model_id)
);

-- +goose Down
DROP TABLE segment_model;
