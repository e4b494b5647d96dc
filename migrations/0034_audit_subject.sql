-- +goose Up
-- Whose data was exported or erased: the number that the customer has here. The name that the store gives may be an address of
-- mail and is not kept; once the customer is erased, the number leads nowhere.
ALTER TABLE audit_entry ADD COLUMN subject bigint;

-- +goose Down
ALTER TABLE audit_entry DROP COLUMN subject;
