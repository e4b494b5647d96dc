-- +goose Up
-- Signs that one customer's buying changed, with the numbers that decided. A weekly snapshot of the whole store writes those of its dates anew.
CREATE TABLE alarm (
  store_id int NOT NULL,
  alarm_id bigint GENERATED ALWAYS AS IDENTITY,
  customer_id bigint NOT NULL,
  kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 3), -- silence, cusum, shiryaev-roberts
  alarm_date date NOT NULL,
  model_id int NOT NULL,
  value float8 NOT NULL,
  threshold float8 NOT NULL,
  rate float8 NOT NULL,    -- the customer's own, a week
  orders int NOT NULL,     -- in the last 26 weeks
  days_silent int NOT NULL,
  p_value float8 NOT NULL, -- the share of unchanged customers that show as much within a year
  rank int NOT NULL DEFAULT 0, -- among those of the date; 0 until the run is over
  PRIMARY KEY (store_id, alarm_id)
);
CREATE UNIQUE INDEX alarm_by_customer ON alarm (store_id, customer_id, alarm_date, kind);
CREATE INDEX alarm_feed ON alarm (store_id, alarm_date DESC, rank, alarm_id);

-- How many customers each detector watched on a date, by ranges of customers: what a false discovery rate is worked out from.
CREATE TABLE alarm_watch (
  store_id int NOT NULL,
  alarm_date date NOT NULL,
  first_customer bigint NOT NULL, -- of the range
  kind smallint NOT NULL,
  watched int NOT NULL,
  PRIMARY KEY (store_id, alarm_date, first_customer, kind)
);

ALTER TABLE store
  ADD COLUMN false_alarm_rate float8 NOT NULL DEFAULT 0.2 CHECK (false_alarm_rate > 0 AND false_alarm_rate < 1), -- of each detector, in a year
  ADD COLUMN alarms_per_week int CHECK (alarms_per_week >= 0); -- NULL: all

-- +goose Down
ALTER TABLE store DROP COLUMN false_alarm_rate, DROP COLUMN alarms_per_week;
DROP TABLE alarm_watch, alarm;
