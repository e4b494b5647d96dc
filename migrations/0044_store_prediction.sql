-- +goose Up
-- What of the future is predicted may be a store's own: margins and the time after which a customer counts as lost differ from shop to
-- shop. Null: as the installation says.
ALTER TABLE store
  ADD COLUMN churn_horizon_days integer CHECK (churn_horizon_days BETWEEN 7 AND 730),
  ADD COLUMN ltv_margin float8 CHECK (ltv_margin > 0 AND ltv_margin <= 1),
  ADD COLUMN ltv_monthly_discount float8 CHECK (ltv_monthly_discount >= 0 AND ltv_monthly_discount < 1);

-- +goose Down
ALTER TABLE store DROP COLUMN churn_horizon_days, DROP COLUMN ltv_margin, DROP COLUMN ltv_monthly_discount;
