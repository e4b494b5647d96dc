-- +goose Up
-- A partition for each store: its first import builds the table and its indexes in one go, and its lines lie together.
ALTER TABLE customer_order RENAME TO customer_order_all;
ALTER TABLE customer_order_all RENAME CONSTRAINT customer_order_pkey TO customer_order_all_pkey;
ALTER INDEX customer_order_by_customer RENAME TO customer_order_all_by_customer;
CREATE TABLE customer_order (LIKE customer_order_all INCLUDING DEFAULTS, PRIMARY KEY (store_id, order_key, line_no)) PARTITION BY LIST (store_id);
CREATE INDEX customer_order_by_customer ON customer_order (store_id, customer_id, ordered_at);
-- +goose StatementBegin
DO $$
DECLARE s int;
BEGIN
  FOR s IN SELECT DISTINCT store_id FROM customer_order_all ORDER BY store_id LOOP
    EXECUTE format('CREATE TABLE customer_order_%s PARTITION OF customer_order FOR VALUES IN (%s)', s, s);
  END LOOP;
END $$;
-- +goose StatementEnd
INSERT INTO customer_order SELECT * FROM customer_order_all ORDER BY store_id, customer_id, ordered_at, order_key, line_no;
DROP TABLE customer_order_all;

-- +goose Down
ALTER TABLE customer_order RENAME TO customer_order_parts;
ALTER TABLE customer_order_parts RENAME CONSTRAINT customer_order_pkey TO customer_order_parts_pkey;
ALTER INDEX customer_order_by_customer RENAME TO customer_order_parts_by_customer;
CREATE TABLE customer_order (LIKE customer_order_parts INCLUDING DEFAULTS, PRIMARY KEY (store_id, order_key, line_no));
INSERT INTO customer_order SELECT * FROM customer_order_parts ORDER BY store_id, customer_id, ordered_at, order_key, line_no;
CREATE INDEX customer_order_by_customer ON customer_order (store_id, customer_id, ordered_at);
DROP TABLE customer_order_parts;
