-- +goose Up
-- Every key starts with store_id and no foreign key crosses stores, so that the tables can be distributed by it.
CREATE TABLE store (
  store_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store_key varchar(255) NOT NULL UNIQUE CHECK (store_key <> ''), -- the name that callers send and see
  name text NOT NULL DEFAULT '',
  currency text NOT NULL DEFAULT '',
  time_zone text NOT NULL DEFAULT 'UTC', -- only decides which day a thing belongs to
  columns smallint NOT NULL DEFAULT 0,   -- bit set of the optional columns that its orders fill
  orders_version bigint NOT NULL DEFAULT 0, -- counts the imports that changed something
  scheduled boolean,                     -- NULL: as long as it is live
  customers int NOT NULL DEFAULT 0,
  first_order_at timestamptz,
  last_order_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE customer (
  store_id int NOT NULL,
  customer_id bigint GENERATED ALWAYS AS IDENTITY,
  customer_key text NOT NULL, -- number, e-mail, UUID: as the shop has it
  first_order_at timestamptz, -- of lines of positive quantity
  last_order_at timestamptz,
  orders int NOT NULL DEFAULT 0, -- purchases: days with at least one line of positive quantity
  value_cents bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (store_id, customer_id),
  UNIQUE (store_id, customer_key)
);

-- One row a line of an order.
CREATE TABLE customer_order (
  store_id int NOT NULL,
  order_key text NOT NULL,
  line_no int NOT NULL,
  customer_id bigint NOT NULL,
  ordered_at timestamptz NOT NULL,
  sku text,
  category text,
  quantity int NOT NULL,
  net_cents bigint NOT NULL,
  discount_cents bigint,
  refund_cents bigint NOT NULL DEFAULT 0,
  refunded_at timestamptz, -- NULL: a refund counts from ordered_at
  PRIMARY KEY (store_id, order_key, line_no)
);
-- Features are worked out customer by customer in the order of time.
CREATE INDEX customer_order_by_customer ON customer_order (store_id, customer_id, ordered_at);

-- What features at an instant need to know of the whole store, worked out once a calendar month from the lines before it;
-- an import that changes older lines removes the months after them.
CREATE TABLE feature_reference (
  store_id int NOT NULL,
  month date NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (store_id, month)
);

-- +goose Down
DROP TABLE feature_reference, customer_order, customer, store;
