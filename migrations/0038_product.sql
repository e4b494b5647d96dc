-- +goose Up
-- What shops say of their products, for lines that name an article and no category: webhooks, and files without a list of products.
CREATE TABLE product (
  store_id int NOT NULL,
  sku text NOT NULL,
  category text NOT NULL, -- what was said last
  PRIMARY KEY (store_id, sku)
);
-- An article has few categories and many lines: only the few are sorted.
INSERT INTO product SELECT DISTINCT ON (store_id, sku) store_id, sku, category
FROM (
  SELECT store_id, sku, category, max(ordered_at) AS ordered_at FROM customer_order
  WHERE sku IS NOT NULL AND category IS NOT NULL GROUP BY store_id, sku, category
) said
ORDER BY store_id, sku, ordered_at DESC, category COLLATE "C" DESC;
SELECT fence('product');

-- +goose Down
DROP TABLE product;
