-- +goose Up
-- What customers are listed by beside their segments: a byte an axis with the shapes of the memberships and whether the customer is an
-- outlier (explain.Mark). NULL until the customer is scored again.
ALTER TABLE customer_state ADD mark bytea;

-- +goose Down
ALTER TABLE customer_state DROP mark;
