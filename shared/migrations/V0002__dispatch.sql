-- Dispatch: what a task may say of itself beyond its name and arguments; idempotency keys; unique tasks.

ALTER TABLE task
    ADD COLUMN soft_timeout_ms bigint,                             -- asked to end, before the hard limit
    ADD COLUMN result_ttl      double precision,                   -- seconds a finished task is kept; NULL: by its state
    ADD COLUMN drop_result     boolean NOT NULL DEFAULT false;

-- The answer to a request, stored in the transaction of the task it made, so that a repeated request gets the same one.
-- It outlives the task.
CREATE TABLE idempotency (
    owner_id    bigint      NOT NULL,
    key         text        NOT NULL,
    fingerprint bytea       NOT NULL,                              -- of the route and the body
    answer      bytea       NOT NULL,                              -- its times are filled in from created_at
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- `queued`: until it starts; `incomplete`: until it ends; `period`: until a time.
CREATE TYPE unique_scope AS ENUM ('queued', 'incomplete', 'period');
ALTER TABLE task_unique ADD COLUMN scope unique_scope NOT NULL DEFAULT 'incomplete';
CREATE INDEX task_unique_until ON task_unique (until) WHERE until IS NOT NULL;
CREATE INDEX task_unique_task ON task_unique (task_id);

-- Work that one process at a time does for all, and how far it has come. Nobody's, so it has no owner.
CREATE TABLE upkeep (
    name        text        PRIMARY KEY,
    holder      bigint,                                            -- the session that does it
    held_until  timestamptz NOT NULL DEFAULT '-infinity',          -- another may take it then
    cursor      uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);
INSERT INTO upkeep (name) VALUES ('retention');
