-- +goose Up
-- What a call with an idempotency key asked for, as a hash: the same key with another request is refused. NULL for runs without a key and
-- for those from before this migration, which are given whatever is asked for: their keys are forgotten after a day.
ALTER TABLE run ADD request_hash bytea;

-- Calls that answer at once and start no run keep the answer itself. Until now importOrders alone did.
ALTER TABLE import_answer RENAME TO mutation_answer;
ALTER TABLE mutation_answer ADD mutation text NOT NULL DEFAULT 'importOrders', DROP CONSTRAINT import_answer_pkey, ADD PRIMARY KEY (store_id, mutation, idempotency_key);
ALTER TABLE mutation_answer ALTER mutation DROP DEFAULT;

-- +goose Down
DELETE FROM mutation_answer WHERE mutation <> 'importOrders';
ALTER TABLE mutation_answer DROP CONSTRAINT mutation_answer_pkey, DROP mutation, ADD CONSTRAINT import_answer_pkey PRIMARY KEY (store_id, idempotency_key);
ALTER TABLE mutation_answer RENAME TO import_answer;
ALTER TABLE run DROP request_hash;
