-- +goose Up
-- A partition holds one store: with its number in front every comparison of keys looks at an equal number first, and an index takes
-- twice as long to build.
ALTER TABLE customer_order DROP CONSTRAINT customer_order_pkey, ADD PRIMARY KEY (order_key, line_no, store_id);

-- +goose Down
ALTER TABLE customer_order DROP CONSTRAINT customer_order_pkey, ADD PRIMARY KEY (store_id, order_key, line_no);
