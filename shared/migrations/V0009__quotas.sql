-- How much a user may take; NULL: as much as it likes (ARCHITECTURE.md, "Quotas").
ALTER TABLE users
    ADD COLUMN queued_tasks_max    bigint  CHECK (queued_tasks_max >= 0),       -- scheduled, waiting and queued
    ADD COLUMN stored_bytes_max    bigint  CHECK (stored_bytes_max >= 0),       -- of items
    ADD COLUMN requests_per_second integer CHECK (requests_per_second BETWEEN 1 AND 1000000);

-- The lists' index has the sizes as well, so that the bytes of a user are added up from it alone.
DROP INDEX item_listed;
CREATE INDEX item_listed ON item (owner_id, created_at, id) INCLUDE (bytes) WHERE sha256 IS NOT NULL;
