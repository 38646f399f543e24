-- Workflows: a graph of tasks, each task a node. Whatever ends a task that is a node does so under the lock of its workflow's
-- row, and moves the graph on in the same transaction (ARCHITECTURE.md, "Workflows").

ALTER TABLE task
    ADD COLUMN workflow_id uuid,                                   -- NULL for what nearly all tasks are
    ADD COLUMN node        integer;                                -- its place in the order given

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
    cancel_requested_at timestamptz,
    run                 integer        NOT NULL DEFAULT 0,         -- how often it was retried
    created_at          timestamptz    NOT NULL DEFAULT now(),
    finished_at         timestamptz
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);

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
-- Retention's.
CREATE INDEX workflow_finished ON workflow (finished_at) WHERE finished_at IS NOT NULL;
