-- The whole schema of the first release, as one migration: until now nobody had data that had to be moved.
-- The next migration is V0002. Longer than 100 lines because it is read as one: every table once, in the order of the parts.
--
-- Every table has `owner_id`, the user whose row it is, but for those that belong to nobody (upkeep, parked_queue and the like).

---------------------------------------------------------------------------------------------------------------------------
-- Tasks. A task is two rows with one id: `task_spec` is what was accepted and never changes, `task_run` is what changes, and
-- is narrow because each claim and each record copies it. The view `task` joins both, for people and for whatever only reads.

CREATE TYPE task_state AS ENUM (
    'scheduled', 'waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired'  -- terminal ones last
);

CREATE TABLE task_spec (
    id              uuid        PRIMARY KEY,                       -- version 7, made by the API
    owner_id        bigint      NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz,                                   -- not started after
    timeout_ms      bigint,                                        -- the hard limit of an attempt
    soft_timeout_ms bigint,                                        -- asked to end, before the hard limit
    result_ttl      double precision,                              -- seconds a finished task is kept; NULL: by its state
    version         integer     NOT NULL DEFAULT 1,                -- of the handler, as known at acceptance
    max_attempts    integer     NOT NULL,
    priority        smallint    NOT NULL,
    class           smallint    NOT NULL,                          -- of the priority: the broker queue it goes to
    drop_result     boolean     NOT NULL DEFAULT false,
    name            text        COLLATE "C" NOT NULL,              -- names are ASCII, compared by their bytes
    queue           text        COLLATE "C" NOT NULL,
    retry           jsonb,                                         -- the back-off policy; NULL: the default
    traceparent     text,
    root_id         uuid,                                          -- the first task of its line; NULL: itself
    parent_id       uuid,
    batch_id        uuid,
    retry_of        uuid,
    workflow_id     uuid,                                          -- NULL for what nearly all tasks are
    node            integer,                                       -- its place in the workflow, in the order given
    tags            text[]      NOT NULL DEFAULT '{}',
    metadata        text,                                          -- JSON, digit for digit as the client wrote it
    input           bytea       NOT NULL                           -- {"args": […], "kwargs": {…}}
);

-- For lists: by owner, and by queue and name in any combination. Inserted once and never moved. The id stands in it as bytes,
-- which sort alike: a planner that last saw the table empty would else take this index for the primary key's work, and read all
-- of it for one task.
CREATE INDEX task_listed ON task_spec (owner_id, queue, name, uuid_send(id));
CREATE INDEX task_batch ON task_spec (owner_id, batch_id, id) WHERE batch_id IS NOT NULL;
CREATE INDEX task_retried ON task_spec (retry_of) WHERE retry_of IS NOT NULL;
-- Retention's: those that say themselves how long they are kept.
CREATE INDEX task_brief ON task_spec (id) WHERE result_ttl IS NOT NULL;

CREATE TABLE task_run (
    id                  uuid       PRIMARY KEY,
    owner_id            bigint     NOT NULL,
    session_id          bigint,                                    -- the worker session, while running
    queued_at           timestamptz,
    started_at          timestamptz,                               -- of the last attempt
    finished_at         timestamptz,
    due_at              timestamptz,                               -- when somebody must look: scheduled: start or expiry; queued: expiry
    run_at              timestamptz,                               -- scheduled: its start, where it expires before that
    offered_at          timestamptz,                               -- last owed again, by a hand-back (then perhaps in the future) or the audit
    cancel_requested_at timestamptz,
    state               task_state NOT NULL,
    version             integer    NOT NULL DEFAULT 0,             -- +1 at every update
    epoch               integer    NOT NULL DEFAULT 0,             -- +1 at every claim: the fencing token
    attempt             integer    NOT NULL DEFAULT 0,             -- attempts that spend the budget, the running one included
    losses              smallint   NOT NULL DEFAULT 0,             -- attempts whose worker died; 2 make a suspect
    flags               smallint   NOT NULL DEFAULT 0,             -- 1: a node of a workflow; 2: the result is not kept
    error_code          text       COLLATE "C" NOT NULL DEFAULT '',  -- of a failed task
    waiting_reason      text,
    worker              text,                                      -- name of the last session, for people
    progress            text,                                      -- JSON, digit for digit
    error               bytea,                                     -- {"code", "message", "details"?, "stack"?}
    result              bytea                                      -- JSON, as the handler returned it
) WITH (
    fillfactor = 50,                                               -- room for a claim and a record on the same page
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0
);

-- No index names what a claim or a record changes, so both are HOT updates: `due_at` and `waiting_reason` are NULL before a
-- claim of nearly every task.
CREATE INDEX task_due ON task_run (due_at) WHERE due_at IS NOT NULL;
-- The audit of unique tasks: those that wait for a unique key, which are few.
CREATE INDEX task_waits_unique ON task_run (id) WHERE waiting_reason = 'unique';

CREATE VIEW task AS
SELECT s.id, s.owner_id, s.name, s.version, s.queue, s.priority, s.class, r.state, r.epoch, r.attempt, s.max_attempts, r.losses,
    s.retry, s.timeout_ms, s.soft_timeout_ms, r.due_at, r.run_at, r.offered_at, r.session_id, r.cancel_requested_at,
    r.waiting_reason, s.created_at, r.queued_at, r.started_at, r.finished_at, s.expires_at, s.input, r.result, r.error,
    r.error_code, r.progress, r.worker, s.traceparent, coalesce(s.root_id, s.id) AS root_id, s.parent_id, s.batch_id, s.retry_of,
    s.workflow_id, s.node, s.tags, s.metadata, s.result_ttl, s.drop_result, r.version AS run_version, r.flags
FROM task_spec s JOIN task_run r ON r.id = s.id;

-- Lists by state must not be paid for by every task. What is queued, scheduled or waiting is one row a commit; what runs is found
-- by the holds; what ended badly is a row each; what succeeded has nothing.

-- Tasks that have not started and became so in one commit. An index that decides nothing: a task's own row says where it stands.
-- Written with them, removed some time after the last of them has started or ended (`tasks/backlog.rs`).
CREATE TABLE backlog (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id bigint      NOT NULL,
    since    timestamptz NOT NULL DEFAULT now(),                   -- when the commit was made, or the audit last owed them again
    queue    text        COLLATE "C" NOT NULL,
    class    smallint    NOT NULL,
    queued   boolean     NOT NULL,                                 -- else scheduled or waiting
    ids      uuid[]      NOT NULL
) WITH (
    toast_tuple_target = 8160,                                     -- 256 ids stay in the row
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE backlog ALTER COLUMN ids SET STORAGE EXTERNAL;         -- ids do not compress
CREATE INDEX backlog_queue ON backlog (queue, class, since) WHERE queued;
CREATE INDEX backlog_owner ON backlog (owner_id, queued, id);

-- Tasks that failed, were cancelled or expired. Written by the trigger below, removed with the task.
CREATE TABLE ended (
    owner_id   bigint     NOT NULL,
    state      task_state NOT NULL,
    id         uuid       NOT NULL,
    queue      text       COLLATE "C" NOT NULL,
    name       text       COLLATE "C" NOT NULL,
    error_code text       COLLATE "C" NOT NULL,
    PRIMARY KEY (owner_id, state, id)
);
CREATE INDEX ended_by_code ON ended (owner_id, error_code, id) WHERE error_code <> '';

-- The conditions of both triggers are comparisons, so a task that starts or succeeds pays next to nothing.
CREATE FUNCTION task_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ended (owner_id, state, id, queue, name, error_code)
    SELECT NEW.owner_id, NEW.state, NEW.id, s.queue, s.name, NEW.error_code FROM task_spec s WHERE s.id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER task_ended AFTER UPDATE ON task_run FOR EACH ROW
    WHEN (NEW.state > 'succeeded' AND OLD.state <= 'running') EXECUTE FUNCTION task_ended();

-- Terminal never changes: the guards keep it so, this refuses a statement that forgets one.
CREATE FUNCTION task_terminal_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, OLD.epoch, OLD.attempt, OLD.result, OLD.error, OLD.finished_at)
        IS DISTINCT FROM (NEW.state, NEW.epoch, NEW.attempt, NEW.result, NEW.error, NEW.finished_at) THEN
        RAISE EXCEPTION 'task % is %: a terminal task never changes', OLD.id, OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'task_terminal_stays';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER task_terminal_stays AFTER UPDATE ON task_run FOR EACH ROW
    WHEN (OLD.state > 'running') EXECUTE FUNCTION task_terminal_stays();

-- Tags in rows, so that a search by one reads the newest first and no more.
CREATE TABLE task_tag (
    owner_id bigint NOT NULL,
    tag      text   NOT NULL,
    task_id  uuid   NOT NULL,
    PRIMARY KEY (owner_id, tag, task_id)
);

CREATE TYPE attempt_outcome AS ENUM (
    'succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'interrupted', 'snoozed'
);

-- Attempts that were not the last; the last one is told from the task's row.
CREATE TABLE attempt (
    task_id     uuid            NOT NULL,
    epoch       integer         NOT NULL,
    owner_id    bigint          NOT NULL DEFAULT 1,
    attempt     integer         NOT NULL,                          -- the number shown to people
    times       integer         NOT NULL DEFAULT 1,                -- snoozes that follow each other are one row
    outcome     attempt_outcome NOT NULL,
    error       bytea,
    worker      text,
    started_at  timestamptz,
    ended_at    timestamptz     NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, epoch)
);
CREATE INDEX attempt_snoozed ON attempt (ended_at) WHERE outcome = 'snoozed';

-- `queued`: until it starts; `incomplete`: until it ends; `period`: until a time.
CREATE TYPE unique_scope AS ENUM ('queued', 'incomplete', 'period');

-- Keys of unique tasks. They outlive the task's row.
CREATE TABLE task_unique (
    owner_id bigint       NOT NULL DEFAULT 1,
    hash     bytea        NOT NULL,
    task_id  uuid         NOT NULL,
    next_id  uuid,                                                 -- `keep_latest`: the newest task, which waits for the holder's end
    scope    unique_scope NOT NULL DEFAULT 'incomplete',
    until    timestamptz,
    PRIMARY KEY (owner_id, hash)
);
CREATE INDEX task_unique_until ON task_unique (until) WHERE until IS NOT NULL;
CREATE INDEX task_unique_task ON task_unique (task_id);
CREATE INDEX task_unique_next ON task_unique (next_id) WHERE next_id IS NOT NULL;

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

---------------------------------------------------------------------------------------------------------------------------
-- Delivery (ARCHITECTURE.md, "The outbox and the holds").

-- The outbox: tasks that became queued in one commit. Paid, and removed, when the broker has confirmed their messages.
CREATE TABLE owed (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    publish_after timestamptz NOT NULL DEFAULT now() + interval '1 second',  -- a relay may publish from then on; infinity: parked
    queue         text        COLLATE "C",                         -- of a parked row: the broker does not take what is for it
    class         smallint,
    ids           uuid[]      NOT NULL
) WITH (
    toast_tuple_target = 8160,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE owed ALTER COLUMN ids SET STORAGE EXTERNAL;
CREATE INDEX owed_due ON owed (publish_after);
CREATE INDEX owed_parked ON owed (queue, class, id) WHERE queue IS NOT NULL;

-- When a relay next tries a queue that has parked rows. Nobody's: tasks of several owners share a queue.
CREATE TABLE parked_queue (
    queue  text        COLLATE "C" NOT NULL,
    class  smallint    NOT NULL,
    pause  interval    NOT NULL,                                   -- until the try after the next one
    try_at timestamptz NOT NULL,
    PRIMARY KEY (queue, class)
);

-- The holds: tasks that were claimed in one commit, by whom. An index over what runs: the task's own row decides. Removed
-- some time after the last of them was recorded.
CREATE TABLE hold (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id bigint NOT NULL,
    overdue_at timestamptz,                                        -- when the first of these attempts is past its limit and its grace
    handed     boolean NOT NULL DEFAULT false,                     -- by an accept, to a session that had not asked for these tasks
    ids        uuid[] NOT NULL
) WITH (
    toast_tuple_target = 8160,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE hold ALTER COLUMN ids SET STORAGE EXTERNAL;
CREATE INDEX hold_session ON hold (session_id);
CREATE INDEX hold_overdue ON hold (overdue_at) WHERE overdue_at IS NOT NULL;

-- Broker messages that no worker could read, or that name a task which does not exist.
CREATE TABLE quarantine (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id  bigint      NOT NULL DEFAULT 1,
    queue     text        NOT NULL,
    reason    text        NOT NULL,
    body      bytea       NOT NULL,                                -- its first 4 KiB
    seen_at   timestamptz NOT NULL DEFAULT now()
);

---------------------------------------------------------------------------------------------------------------------------
-- Workers.

-- One row per start of a worker process. Judged dead by an unchanged beat over the watcher's own clock.
CREATE TABLE session (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id    bigint      NOT NULL DEFAULT 1,
    kind        text        NOT NULL DEFAULT 'native',
    name        text        NOT NULL,                              -- host:pid, for people only
    host        text        NOT NULL,
    slot        text,                                              -- id of the slot file this process holds locked
    beat        bigint      NOT NULL DEFAULT 0,
    dead        boolean     NOT NULL DEFAULT false,
    drain       boolean     NOT NULL DEFAULT false,
    queues      jsonb       NOT NULL,                              -- [{"name", "slots", "busy"}]
    started_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),                -- for people; decides nothing
    ended_at    timestamptz
);
CREATE INDEX session_alive ON session (id) WHERE NOT dead;
CREATE INDEX session_ended ON session (ended_at) WHERE dead;

-- What workers can run; never forgotten by itself.
CREATE TABLE task_type (
    owner_id    bigint           NOT NULL DEFAULT 1,
    name        text             NOT NULL,
    version     integer          NOT NULL,
    parameters  text[]           NOT NULL,
    queue       text             NOT NULL,
    timeout_ms  bigint,
    cpu         boolean          NOT NULL,
    run_ms      double precision,                                  -- the recent run time of an attempt; NULL: nobody has run one yet
    updated_at  timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, name)
);

CREATE TABLE queue (
    owner_id    bigint      NOT NULL DEFAULT 1,
    name        text        COLLATE "C" NOT NULL,
    paused      boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, name)
);
INSERT INTO queue (name) VALUES ('default'), ('images');

-- Work that one process at a time does for all.
CREATE TABLE upkeep (
    name        text        PRIMARY KEY,
    holder      bigint,                                            -- the session that does it
    held_until  timestamptz NOT NULL DEFAULT '-infinity'           -- another may take it then
);
INSERT INTO upkeep (name) VALUES ('reconcilers');

---------------------------------------------------------------------------------------------------------------------------
-- Users and their keys.

-- The accounts that own tasks, items and keys: `owner_id` everywhere. Never removed, so an id never means somebody else.
CREATE TABLE users (
    id                  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                text        NOT NULL COLLATE "C" UNIQUE,
    created_at          timestamptz NOT NULL DEFAULT now(),
    disabled_at         timestamptz,
    -- how much it may take; NULL: as much as it likes (ARCHITECTURE.md, "Quotas")
    queued_tasks_max    bigint      CHECK (queued_tasks_max >= 0),  -- scheduled, waiting and queued
    stored_bytes_max    bigint      CHECK (stored_bytes_max >= 0),  -- of items
    requests_per_second integer     CHECK (requests_per_second BETWEEN 1 AND 1000000)
);
INSERT INTO users (name) VALUES ('local');                          -- 1: whom an open installation acts for, and the operator

-- A revoked key stays as a row: that there was ever one is what keeps the service closed.
CREATE TABLE api_key (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id     bigint      NOT NULL REFERENCES users,
    name         text        NOT NULL,
    hmac         bytea       NOT NULL CHECK (length(hmac) = 32),    -- of the secret, which nobody keeps
    scopes       text[]      NOT NULL CHECK (scopes <> '{}' AND scopes <@ '{submit,read,cancel,admin}'),
    queues       text[]      NOT NULL DEFAULT '{}',                 -- globs; empty: all queues
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_key_owner ON api_key (owner_id, id);
-- What every API process reads again and again.
CREATE INDEX api_key_live ON api_key (id) WHERE revoked_at IS NULL;

-- The HMAC's key of this installation (ARCHITECTURE.md, "Users and keys", says why it lies here). 244 random bits.
CREATE TABLE key_secret (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    secret bytea   NOT NULL
);
INSERT INTO key_secret (secret)
SELECT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');

-- Orders about what is kept here: what was broken, deleted, put back or cancelled, and by whom. Rows are only added; the sweep
-- removes old ones.
CREATE TABLE audit (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    user_id  bigint      NOT NULL,                                 -- who gave the order
    key_id   bigint,                                               -- by which key; NULL on an open installation
    owner_id bigint      NOT NULL,                                 -- whose object it was
    action   text        NOT NULL,                                 -- one of `AuditAction`
    object   text        NOT NULL,                                 -- its name or id
    reason   text,                                                 -- as the caller gave it
    detail   jsonb                                                 -- what else the action tells: a fence, counts, a search
);
CREATE INDEX audit_owner ON audit (owner_id, id);

---------------------------------------------------------------------------------------------------------------------------
-- Items: stored inputs and outputs of tasks, in chunks, so that no statement carries a whole one.

CREATE TABLE item (
    id           uuid        PRIMARY KEY,
    owner_id     bigint      NOT NULL DEFAULT 1,
    content_type text        NOT NULL,
    encoding     text,
    bytes        bigint,                                           -- NULL, with the hash: an upload under way, which nobody is shown
    sha256       bytea,
    task_id      uuid,                                             -- the task that made it
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- what lists are filtered by: the media type without its parameters
    media_type   text COLLATE "C" NOT NULL GENERATED ALWAYS AS (lower(rtrim(split_part(content_type, ';', 1)))) STORED,
    CONSTRAINT item_whole_or_not CHECK ((bytes IS NULL) = (sha256 IS NULL))
);
-- The sweep's.
CREATE INDEX item_unfinished ON item (created_at) WHERE sha256 IS NULL;
-- By time and not by id: the ids of outputs come from their tasks. With the sizes, so that the bytes of a user are added up from
-- it alone.
CREATE INDEX item_listed ON item (owner_id, created_at, id) INCLUDE (bytes) WHERE sha256 IS NOT NULL;
CREATE INDEX item_listed_by_type ON item (owner_id, media_type, created_at, id) WHERE sha256 IS NOT NULL;

CREATE TABLE item_chunk (
    item_id  uuid    NOT NULL REFERENCES item ON DELETE CASCADE,
    owner_id bigint  NOT NULL DEFAULT 1,
    seq      integer NOT NULL,
    data     bytea   NOT NULL,
    PRIMARY KEY (item_id, seq)
);
ALTER TABLE item_chunk ALTER COLUMN data SET STORAGE EXTERNAL;     -- pictures do not compress

---------------------------------------------------------------------------------------------------------------------------
-- Cached data: values by key, read through Redis, and the invalidations that are owed to Redis (ARCHITECTURE.md, "Cached data").

-- One sequence for all rows, so that a version never comes again, whatever became of its row.
CREATE SEQUENCE data_version;

CREATE TABLE data (
    owner_id   bigint      NOT NULL DEFAULT 1,
    key        text        COLLATE "C" NOT NULL,
    value      bytea,                                              -- JSON, as the client wrote it; NULL: deleted
    version    bigint      NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    ends_at    timestamptz,                                        -- gone from then on
    PRIMARY KEY (owner_id, key)
) WITH (fillfactor = 80);
CREATE INDEX data_ending ON data (ends_at) WHERE ends_at IS NOT NULL;
-- A deleted row stays for a day: what is created again then finds a row to lock, and its version comes out above.
CREATE INDEX data_deleted ON data (updated_at) WHERE value IS NULL;

-- Written in the commit that changes an entry, removed when Redis has confirmed the invalidation.
CREATE TABLE cache_outbox (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id   bigint      NOT NULL,
    kind       text        NOT NULL,                               -- of entry: `data`
    key        text        NOT NULL,
    version    bigint      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);

---------------------------------------------------------------------------------------------------------------------------
-- Workflows: a graph of tasks, each task a node. Whatever ends a task that is a node does so under the lock of its workflow's
-- row, and moves the graph on in the same transaction (ARCHITECTURE.md, "Workflows").

CREATE TYPE workflow_kind AS ENUM ('workflow', 'group', 'chain', 'chord', 'map');
CREATE TYPE workflow_state AS ENUM ('running', 'succeeded', 'failed', 'cancelled');

CREATE TABLE workflow (
    id                  uuid           PRIMARY KEY,                -- version 7, made by the API
    owner_id            bigint         NOT NULL,
    kind                workflow_kind  NOT NULL,
    state               workflow_state NOT NULL DEFAULT 'running',
    fail_fast           boolean        NOT NULL,                   -- the first fault stops everything
    return_exceptions   boolean        NOT NULL,                   -- failures stand in the results
    max_in_flight       integer,                                   -- nodes released and not ended, at most
    -- counters; each batch of ended tasks changes them once
    nodes               integer        NOT NULL,
    open                integer        NOT NULL,                   -- not ended
    in_flight           integer        NOT NULL,                   -- kept where there is a max_in_flight
    succeeded           integer        NOT NULL DEFAULT 0,
    failed              integer        NOT NULL DEFAULT 0,
    cancelled           integer        NOT NULL DEFAULT 0,
    expired             integer        NOT NULL DEFAULT 0,
    faults              integer        NOT NULL DEFAULT 0,         -- of nodes that ended badly: those that no other takes care of
    stopping            boolean        NOT NULL DEFAULT false,     -- nothing is released any more
    stop_next           integer,                                   -- the first node that its stop has not reached; NULL: no stop is under way
    cancel_requested_at timestamptz,
    run                 integer        NOT NULL DEFAULT 0,         -- how often it was retried
    created_at          timestamptz    NOT NULL DEFAULT now(),
    finished_at         timestamptz
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX workflow_listed ON workflow (owner_id, id);
-- Retention's.
CREATE INDEX workflow_finished ON workflow (finished_at) WHERE finished_at IS NOT NULL;
-- For the reconciler that goes on with stops whose process died, and with those that a failure began.
CREATE INDEX workflow_stops ON workflow (id) WHERE stop_next IS NOT NULL;

CREATE TABLE workflow_node (
    workflow_id uuid     NOT NULL,
    node        integer  NOT NULL,
    owner_id    bigint   NOT NULL,
    key         text     NOT NULL,
    task_id     uuid     NOT NULL,                                 -- the last one that was made of it
    level       smallint NOT NULL,
    pending     integer  NOT NULL,                                 -- dependencies that have not ended
    place       smallint NOT NULL DEFAULT 0,                       -- with max_in_flight: 0 waits, 1 held back, 2 released
    on_failure  smallint NOT NULL,                                 -- 0 cancel, 1 run, 2 ignore
    handled     boolean  NOT NULL,                                 -- some other node takes care of its failure
    next        integer[],                                         -- the nodes that depend on it
    next_when   smallint[],                                        -- 0 succeeded, 1 failed, 2 finished
    depends_on  integer[],                                         -- the nodes that it depends on, in the order given
    delay       float8,                                            -- seconds from its release to its start
    run_at      timestamptz,
    PRIMARY KEY (workflow_id, node)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX workflow_node_held ON workflow_node (workflow_id, node) WHERE place = 1;

---------------------------------------------------------------------------------------------------------------------------
-- Locks, semaphores, events, conditions, barriers and work queues (ARCHITECTURE.md, "Coordination"). Whatever changes one of
-- them locks its row of `coordination` first, so each has one history.

CREATE TYPE coordination_kind AS ENUM ('lock', 'semaphore', 'event', 'barrier', 'work_queue');
CREATE TYPE lease_standing AS ENUM ('waiting', 'held', 'released', 'lost');

-- Places in lines and fences are drawn from here under the object's lock: one of an object is greater than all before it, also
-- when the object was forgotten and made again. Each number stands for 4096 of them.
CREATE SEQUENCE coordination_turn;

CREATE TABLE coordination (
    id           uuid              PRIMARY KEY,                    -- of owner, kind and name (version 5)
    owner_id     bigint            NOT NULL,
    kind         coordination_kind NOT NULL,
    name         text              COLLATE "C" NOT NULL,
    clock_ms     bigint            NOT NULL,                       -- the latest time that it has seen: its time never goes back
    capacity     integer,                                          -- permits, parties, or items that fit; NULL: not configured, or unbounded
    configured   boolean           NOT NULL DEFAULT false,
    generation   bigint            NOT NULL DEFAULT 0,             -- of an event, barrier, queue: rises when those who wait have what they wait for
    flag         boolean           NOT NULL DEFAULT false,         -- an event is set; a queue takes no more
    item_order   smallint          NOT NULL DEFAULT 0,             -- of a queue: 0 fifo, 1 lifo, 2 priority
    attempts_max integer           NOT NULL DEFAULT 5,             -- of a queue
    halted       boolean           NOT NULL DEFAULT false          -- a queue that takes no more gives nothing either
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);
-- Lists by name.
CREATE INDEX coordination_listed ON coordination (owner_id, kind, name);

-- A request for a share of an object, from its place in the line over the lease to the tombstone that keeps it from being
-- granted again.
CREATE TABLE lease (
    object_id uuid           NOT NULL,
    id        uuid           NOT NULL,                             -- the client's choice
    standing  lease_standing NOT NULL,
    line      text           COLLATE "C" NOT NULL,                 -- '': for the object itself; else a condition's, or that of puts
    turn      bigint         NOT NULL,                             -- waiting: the place in the line; then the fence
    until_ms  bigint         NOT NULL,                             -- waiting: leaves the line unless it asks again; held: ends; then: is forgotten
    since_ms  bigint         NOT NULL,                             -- of its standing
    claimed   boolean        NOT NULL,                             -- held: its client knows
    owner     text           NOT NULL,                             -- a label, for people and for re-entry
    permits   integer        NOT NULL,
    ttl_ms    integer        NOT NULL,
    reentrant boolean        NOT NULL,
    secret    bytea,                                               -- SHA-256 of what the client has to show
    item_id   uuid,                                                -- of a queue: what is leased
    -- which request asked last, until its client is known to have the answer: what that request leaves behind when its client
    -- hangs up is its own to take back; and the condition whose notify a waiter has, until its client knows of it
    asker     uuid,
    notified  text           COLLATE "C",
    alarm_ms  bigint,                                              -- waiting on a condition: when it goes into the lock's line; 0: it
                                                                   -- has; at a barrier: when the barrier breaks; NULL: no limit
    leaves_empty boolean     NOT NULL DEFAULT false,               -- a consumer: leaves a queue that is shut down once nothing is ready
    PRIMARY KEY (object_id, id)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX lease_line ON lease (object_id, line, turn) WHERE standing = 'waiting';
CREATE INDEX lease_held ON lease (object_id) WHERE standing = 'held';
CREATE INDEX lease_due ON lease (until_ms) WHERE standing IN ('waiting', 'held');
CREATE INDEX lease_over ON lease (until_ms) WHERE standing IN ('released', 'lost');
CREATE INDEX lease_notified ON lease (object_id, notified) WHERE notified IS NOT NULL AND standing IN ('waiting', 'held');

CREATE INDEX lease_alarm ON lease (object_id, alarm_ms, turn) WHERE standing = 'waiting' AND alarm_ms > 0;
CREATE INDEX lease_alarm_due ON lease (alarm_ms) WHERE standing = 'waiting' AND alarm_ms > 0;

CREATE TYPE work_state AS ENUM ('ready', 'delayed', 'leased', 'done', 'taken', 'dead');

-- Items of work queues. Who leases one is a row of `lease`.
CREATE TABLE work_item (
    object_id uuid       NOT NULL,
    id        uuid       NOT NULL,                                 -- the client's choice
    state     work_state NOT NULL,
    priority  float8     NOT NULL,                                 -- lowest first; 0 where the queue heeds none
    turn      bigint     NOT NULL,                                 -- its place among equals, kept when it comes back
    until_ms  bigint     NOT NULL,                                 -- delayed: ready then; done, taken and dead: is forgotten
    attempt   integer    NOT NULL,                                 -- how often it was fetched
    payload   bytea,                                               -- JSON as the client wrote it; NULL once it is done
    digest    bytea,                                               -- SHA-256 of the payload, so that the id is not used for something else
    PRIMARY KEY (object_id, id)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX work_item_ready ON work_item (object_id, priority, turn) WHERE state = 'ready';
CREATE INDEX work_item_open ON work_item (object_id) WHERE state IN ('ready', 'delayed', 'leased');
CREATE INDEX work_item_delayed ON work_item (object_id, until_ms) WHERE state = 'delayed';
CREATE INDEX work_item_due ON work_item (until_ms) WHERE state = 'delayed';
CREATE INDEX work_item_dead ON work_item (object_id, turn) WHERE state = 'dead';
CREATE INDEX work_item_over ON work_item (until_ms) WHERE state IN ('done', 'taken', 'dead');

---------------------------------------------------------------------------------------------------------------------------
-- The installation and its schema.

-- What tells this installation from others: one id, made here and never changed. Names in Redis begin with it, so that two
-- installations that share a Redis do not meet.
CREATE TABLE installation (
    the_only_row boolean PRIMARY KEY DEFAULT true CHECK (the_only_row),
    id           uuid    NOT NULL DEFAULT gen_random_uuid(),
    -- which of several installations behind one address this is: a part of every id that is made here. Written once, after the
    -- first migration, from CARAWAY_CELL; NULL until then
    cell         smallint CHECK (cell BETWEEN 0 AND 4095)
);
INSERT INTO installation DEFAULT VALUES;

-- Which programs can work with this schema. The schema's own version is its newest migration, in refinery_schema_history.
--
-- A migration that takes away what an older program needs (a contract) raises this number to the first version of the schema
-- whose programs do without. Programs ask when they start: deploy/docs/UPGRADING.md.
CREATE TABLE schema_compatibility (
    the_only_row   boolean PRIMARY KEY DEFAULT true CHECK (the_only_row),
    oldest_version int4    NOT NULL                                 -- the newest migration that the oldest such program brings
);
INSERT INTO schema_compatibility (oldest_version) VALUES (1);

-- Long values are compressed fast where the server was built with lz4; elsewhere by its default.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)) THEN
        ALTER TABLE data ALTER COLUMN value SET COMPRESSION lz4;
        ALTER TABLE work_item ALTER COLUMN payload SET COMPRESSION lz4;
    END IF;
END $$;
