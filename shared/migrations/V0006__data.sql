-- Cached data: values by key, read through Redis, and the invalidations that are owed to Redis (ARCHITECTURE.md, "Cached data").

-- One sequence for all rows, so that a version never comes again, whatever became of its row.
CREATE SEQUENCE data_version;

CREATE TABLE data (
    owner_id   bigint      NOT NULL DEFAULT 1,
    key        text        COLLATE "C" NOT NULL,
    value      bytea,                                          -- JSON, as the client wrote it; NULL: deleted
    version    bigint      NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, key)
) WITH (fillfactor = 80);
ALTER TABLE data ALTER COLUMN value SET COMPRESSION lz4;
-- A deleted row stays for a day: what is created again then finds a row to lock, and its version comes out above.
CREATE INDEX data_deleted ON data (updated_at) WHERE value IS NULL;

-- Written in the commit that changes an entry, removed when Redis has confirmed the invalidation.
CREATE TABLE cache_outbox (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id   bigint      NOT NULL,
    kind       text        NOT NULL,                           -- of entry: `data`
    key        text        NOT NULL,
    version    bigint      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);
