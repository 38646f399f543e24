-- The truth. Every change of a task is one guarded UPDATE on (id, state, epoch); see ARCHITECTURE.md, "States".
-- Indexes on `task` are few, because each is paid for at every transition. None of them names `state`: a column in an
-- index predicate makes every update of it a non-HOT one.

CREATE TYPE task_state AS ENUM (
    'scheduled', 'waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired'
);

CREATE TYPE attempt_outcome AS ENUM (
    'succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'interrupted', 'snoozed'
);

CREATE TABLE task (
    id                  uuid        PRIMARY KEY,               -- version 7, made by the API
    owner_id            bigint      NOT NULL DEFAULT 1,
    external_id         text,                                  -- for clients that mint their own ids
    name                text        NOT NULL,
    version             integer     NOT NULL DEFAULT 1,        -- of the handler, as known at acceptance
    queue               text        NOT NULL,
    priority            smallint    NOT NULL,
    state               task_state  NOT NULL,
    epoch               integer     NOT NULL DEFAULT 0,        -- +1 at every claim: the fencing token
    attempt             integer     NOT NULL DEFAULT 0,        -- attempts that spend the budget, the running one included
    max_attempts        integer     NOT NULL,
    losses              smallint    NOT NULL DEFAULT 0,        -- attempts whose worker died; 2 make a suspect
    retry               jsonb,                                 -- the back-off policy; NULL: the default
    timeout_ms          bigint,
    -- what is owed, and when somebody must look again
    publish_after       timestamptz,                           -- a relay may publish from then on; NULL: nothing is owed
    published_at        timestamptz,                           -- confirmed by the broker, still queued then
    due_at              timestamptz,                           -- scheduled: start; queued: expiry; running: hard time limit
    session_id          bigint,                                -- the worker session, while running
    cancel_requested_at timestamptz,
    waiting_reason      text,
    -- times
    created_at          timestamptz NOT NULL DEFAULT now(),
    queued_at           timestamptz,
    started_at          timestamptz,                           -- of the last attempt
    finished_at         timestamptz,
    expires_at          timestamptz,
    -- bodies, as the original bytes
    input               bytea       NOT NULL,                  -- {"args": […], "kwargs": {…}}
    input_type          text        NOT NULL DEFAULT 'application/json',
    input_encoding      text,
    result              bytea,
    result_type         text,
    result_encoding     text,
    error               bytea,                                 -- {"code", "message", "details"?, "stack"?}
    progress            jsonb,
    worker              text,                                  -- name of the last session, for people
    -- where it belongs
    traceparent         text,
    headers             jsonb,
    root_id             uuid,
    parent_id           uuid,
    batch_id            uuid,
    retry_of            uuid,
    tags                text[]      NOT NULL DEFAULT '{}',
    metadata            jsonb
) WITH (
    fillfactor = 70,                                           -- room for the two updates on the same page
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);

-- The relay's: what is owed, oldest first.
CREATE INDEX task_owed ON task (publish_after) WHERE publish_after IS NOT NULL;
-- The audit's and the queue view's: what is queued and with the broker.
CREATE INDEX task_published ON task (queue, published_at) WHERE published_at IS NOT NULL;
-- The promoter's and the deadline sweep's.
CREATE INDEX task_due ON task (due_at) WHERE due_at IS NOT NULL;
-- The rescuer's and the beat's: what a session holds.
CREATE INDEX task_held ON task (session_id) WHERE session_id IS NOT NULL;
CREATE UNIQUE INDEX task_external ON task (owner_id, external_id) WHERE external_id IS NOT NULL;

-- Terminal never changes: the guards keep it so, this refuses whoever forgets one.
CREATE FUNCTION task_terminal_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'task % is %: a terminal task never changes', OLD.id, OLD.state
        USING ERRCODE = 'check_violation', CONSTRAINT = 'task_terminal_stays';
END $$;
CREATE TRIGGER task_terminal_stays BEFORE UPDATE ON task FOR EACH ROW
    WHEN (OLD.state IN ('succeeded', 'failed', 'cancelled', 'expired')
        AND (OLD.state, OLD.epoch, OLD.attempt, OLD.result, OLD.error, OLD.finished_at)
            IS DISTINCT FROM (NEW.state, NEW.epoch, NEW.attempt, NEW.result, NEW.error, NEW.finished_at))
    EXECUTE FUNCTION task_terminal_stays();

-- Attempts that were not the last; the last one is told from the task's row.
CREATE TABLE attempt (
    task_id     uuid            NOT NULL,
    epoch       integer         NOT NULL,
    owner_id    bigint          NOT NULL DEFAULT 1,
    attempt     integer         NOT NULL,                      -- the number shown to people
    outcome     attempt_outcome NOT NULL,
    error       bytea,
    worker      text,
    started_at  timestamptz,
    ended_at    timestamptz     NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, epoch)
);

-- One row per start of a worker process. Judged dead by an unchanged beat over the watcher's own clock.
CREATE TABLE session (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id    bigint      NOT NULL DEFAULT 1,
    kind        text        NOT NULL DEFAULT 'native',
    name        text        NOT NULL,                          -- host:pid, for people only
    host        text        NOT NULL,
    slot        text,                                          -- id of the slot file this process holds locked
    beat        bigint      NOT NULL DEFAULT 0,
    dead        boolean     NOT NULL DEFAULT false,
    drain       boolean     NOT NULL DEFAULT false,
    queues      jsonb       NOT NULL,                          -- [{"name", "slots", "busy"}]
    started_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),            -- for people; decides nothing
    ended_at    timestamptz
);
CREATE INDEX session_alive ON session (id) WHERE NOT dead;

-- What workers can run; never forgotten by itself.
CREATE TABLE task_type (
    owner_id    bigint      NOT NULL DEFAULT 1,
    name        text        NOT NULL,
    version     integer     NOT NULL,
    parameters  text[]      NOT NULL,
    queue       text        NOT NULL,
    timeout_ms  bigint,
    cpu         boolean     NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, name)
);

CREATE TABLE queue (
    owner_id    bigint      NOT NULL DEFAULT 1,
    name        text        NOT NULL,
    bundle_max  smallint    NOT NULL DEFAULT 64 CHECK (bundle_max BETWEEN 1 AND 64),
    paused      boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, name)
);
INSERT INTO queue (name, bundle_max) VALUES ('default', 64), ('images', 1);

-- Stored inputs and outputs of tasks, in chunks, so that no statement carries a whole one.
CREATE TABLE item (
    id           uuid        PRIMARY KEY,
    owner_id     bigint      NOT NULL DEFAULT 1,
    content_type text        NOT NULL,
    encoding     text,
    bytes        bigint      NOT NULL,
    sha256       bytea       NOT NULL,
    task_id      uuid,                                         -- the task that made it
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE item_chunk (
    item_id  uuid    NOT NULL REFERENCES item ON DELETE CASCADE,
    owner_id bigint  NOT NULL DEFAULT 1,
    seq      integer NOT NULL,
    data     bytea   NOT NULL,
    PRIMARY KEY (item_id, seq)
);
ALTER TABLE item_chunk ALTER COLUMN data SET STORAGE EXTERNAL;  -- pictures do not compress

-- Keys of unique tasks outlive the task's row, and a partitioned task table could not hold their index.
CREATE TABLE task_unique (
    owner_id bigint NOT NULL DEFAULT 1,
    hash     bytea  NOT NULL,
    task_id  uuid   NOT NULL,
    until    timestamptz,
    PRIMARY KEY (owner_id, hash)
);

-- Broker messages that no worker could read, or that name a task which does not exist.
CREATE TABLE quarantine (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id  bigint      NOT NULL DEFAULT 1,
    queue     text        NOT NULL,
    reason    text        NOT NULL,
    body      bytea       NOT NULL,                            -- its first 4 KiB
    seen_at   timestamptz NOT NULL DEFAULT now()
);
