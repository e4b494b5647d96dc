-- +goose Up
-- What is to be expected of each customer now, to list and order by; NULL where no model could be fitted or scores are off.
ALTER TABLE customer_state ADD COLUMN churn_risk real, ADD COLUMN predicted_ltv_cents bigint;

-- +goose Down
ALTER TABLE customer_state DROP COLUMN churn_risk, DROP COLUMN predicted_ltv_cents;
