-- +goose Up
-- Orders that come one by one, and what they change between snapshots.

-- When it became known that an order is no purchase after all; NULL: it stands. Until then its lines counted.
ALTER TABLE customer_order ADD cancelled_at timestamptz;
CREATE INDEX customer_order_cancelled ON customer_order (store_id, customer_id) WHERE cancelled_at IS NOT NULL;

-- The instant that a state is of where orders brought it about; NULL: 00:00 of its day.
ALTER TABLE customer_state ADD rescored_at timestamptz;
CREATE INDEX customer_state_rescored ON customer_state (store_id, state_date) WHERE rescored_at IS NOT NULL;

-- A provisional event leads from the last snapshot to where orders took the customer since; the next snapshot removes it.
ALTER TABLE drift_event ADD provisional boolean NOT NULL DEFAULT false;
CREATE INDEX drift_event_provisional ON drift_event (store_id, customer_id) WHERE provisional;
DROP INDEX drift_event_by_customer, drift_event_feed;
CREATE UNIQUE INDEX drift_event_by_customer ON drift_event (store_id, customer_id, snapshot_type, to_date, axis) WHERE NOT provisional;
CREATE INDEX drift_event_feed ON drift_event (store_id, to_date DESC, event_id DESC) WHERE score >= 0.3 AND by_order AND NOT provisional;

-- Customers whose orders changed since they were scored; one may stand several times.
CREATE TABLE touched_customer (
  store_id int NOT NULL,
  touch_id bigint GENERATED ALWAYS AS IDENTITY,
  customer_id bigint NOT NULL,
  PRIMARY KEY (store_id, touch_id)
);
-- What is touched while a run waits is scored by that run.
CREATE UNIQUE INDEX run_rescore ON run (store_id) WHERE kind = 'RESCORE' AND state = 'QUEUED';

-- The answers that importOrders gave by key, for a day. They are json, since jsonb refuses some texts.
CREATE TABLE import_answer (
  store_id int NOT NULL,
  idempotency_key text NOT NULL,
  request_hash bytea NOT NULL,
  answer json NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (store_id, idempotency_key)
);

-- Events of shops: of the message only what is of use, until it is taken in; the delivery is remembered for a week.
CREATE TABLE shop_event (
  store_id int NOT NULL,
  event_id bigint GENERATED ALWAYS AS IDENTITY,
  delivery text NOT NULL, -- the shop's name for it
  customer_key text,      -- whom it names; NULL where nobody, and once it is taken in
  body json,              -- NULL: taken in
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (store_id, event_id),
  UNIQUE (store_id, delivery)
);
CREATE INDEX shop_event_waiting ON shop_event (store_id, event_id) WHERE body IS NOT NULL;

-- What the events said of each order so far, for three months.
CREATE TABLE shop_order (
  store_id int NOT NULL,
  shop_number bigint NOT NULL, -- the shop's own, by which refunds name the order
  customer_key text,           -- of the newest state; NULL where none came yet, or it names nobody
  body json NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (store_id, shop_number)
);
CREATE INDEX shop_order_by_customer ON shop_order (store_id, customer_key);

-- +goose Down
DROP TABLE shop_order, shop_event, import_answer, touched_customer;
DROP INDEX run_rescore;
DELETE FROM run WHERE kind = 'RESCORE';
DELETE FROM drift_event WHERE provisional;
DROP INDEX drift_event_by_customer, drift_event_feed, drift_event_provisional;
ALTER TABLE drift_event DROP provisional;
CREATE UNIQUE INDEX drift_event_by_customer ON drift_event (store_id, customer_id, snapshot_type, to_date, axis);
CREATE INDEX drift_event_feed ON drift_event (store_id, to_date DESC, event_id DESC) WHERE score >= 0.3 AND by_order;
DROP INDEX customer_state_rescored;
ALTER TABLE customer_state DROP rescored_at;
DELETE FROM customer_order WHERE cancelled_at IS NOT NULL;
DROP INDEX customer_order_cancelled;
ALTER TABLE customer_order DROP cancelled_at;
