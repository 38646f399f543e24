-- Locks, semaphores, events, conditions, barriers and work queues (ARCHITECTURE.md, "Coordination"). Whatever changes one of
-- them locks its row of `coordination` first, so each has one history.

CREATE TYPE coordination_kind AS ENUM ('lock', 'semaphore', 'event', 'barrier', 'work_queue');
CREATE TYPE lease_standing AS ENUM ('waiting', 'held', 'released', 'lost');

-- Places in lines and fences are drawn from here under the object's lock: one of an object is greater than all before it, also
-- when the object was forgotten and made again. Each number stands for 4096 of them.
CREATE SEQUENCE coordination_turn;

CREATE TABLE coordination (
    id           uuid              PRIMARY KEY,                -- of owner, kind and name (version 5)
    owner_id     bigint            NOT NULL,
    kind         coordination_kind NOT NULL,
    name         text              COLLATE "C" NOT NULL,
    clock_ms     bigint            NOT NULL,                   -- the latest time that it has seen: its time never goes back
    capacity     integer,                                      -- permits, parties, or items that fit; NULL: not configured, or unbounded
    configured   boolean           NOT NULL DEFAULT false,
    generation   bigint            NOT NULL DEFAULT 0,         -- of an event, barrier, queue: rises when those who wait have what they wait for
    flag         boolean           NOT NULL DEFAULT false,     -- an event is set; a queue takes no more
    item_order   smallint          NOT NULL DEFAULT 0,         -- of a queue: 0 fifo, 1 lifo, 2 priority
    attempts_max integer           NOT NULL DEFAULT 5          -- of a queue
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);

-- A request for a share of an object, from its place in the line over the lease to the tombstone that keeps it from being
-- granted again.
CREATE TABLE lease (
    object_id uuid           NOT NULL,
    id        uuid           NOT NULL,                         -- the client's choice
    standing  lease_standing NOT NULL,
    line      text           COLLATE "C" NOT NULL,             -- '': for the object itself; else a condition's, or that of puts
    turn      bigint         NOT NULL,                         -- waiting: the place in the line; then the fence
    until_ms  bigint         NOT NULL,                         -- waiting: leaves the line unless it asks again; held: ends; then: is forgotten
    since_ms  bigint         NOT NULL,                         -- of its standing
    claimed   boolean        NOT NULL,                         -- held: its client knows
    owner     text           NOT NULL,                         -- a label, for people and for re-entry
    permits   integer        NOT NULL,
    ttl_ms    integer        NOT NULL,
    reentrant boolean        NOT NULL,
    secret    bytea,                                           -- SHA-256 of what the client has to show
    item_id   uuid,                                            -- of a queue: what is leased
    PRIMARY KEY (object_id, id)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX lease_line ON lease (object_id, line, turn) WHERE standing = 'waiting';
CREATE INDEX lease_held ON lease (object_id) WHERE standing = 'held';
CREATE INDEX lease_due ON lease (until_ms) WHERE standing IN ('waiting', 'held');
CREATE INDEX lease_over ON lease (until_ms) WHERE standing IN ('released', 'lost');

CREATE TYPE work_state AS ENUM ('ready', 'delayed', 'leased', 'done', 'dead');

-- Items of work queues. Who leases one is a row of `lease`.
CREATE TABLE work_item (
    object_id uuid       NOT NULL,
    id        uuid       NOT NULL,                             -- the client's choice
    state     work_state NOT NULL,
    priority  float8     NOT NULL,                             -- lowest first; 0 where the queue heeds none
    turn      bigint     NOT NULL,                             -- its place among equals, kept when it comes back
    until_ms  bigint     NOT NULL,                             -- delayed: ready then; done and dead: is forgotten
    attempt   integer    NOT NULL,                             -- how often it was fetched
    payload   bytea,                                           -- JSON as the client wrote it; NULL once it is done
    PRIMARY KEY (object_id, id)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE work_item ALTER COLUMN payload SET COMPRESSION lz4;
CREATE INDEX work_item_ready ON work_item (object_id, priority, turn) WHERE state = 'ready';
CREATE INDEX work_item_open ON work_item (object_id) WHERE state IN ('ready', 'delayed', 'leased');
CREATE INDEX work_item_delayed ON work_item (object_id, until_ms) WHERE state = 'delayed';
CREATE INDEX work_item_due ON work_item (until_ms) WHERE state = 'delayed';
CREATE INDEX work_item_dead ON work_item (object_id, turn) WHERE state = 'dead';
CREATE INDEX work_item_over ON work_item (until_ms) WHERE state IN ('done', 'dead');
