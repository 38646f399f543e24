-- Delivery: how long tasks of a type run, so that one message never holds much work; and what the broker does not take, put
-- aside by queue, so that it costs other queues nothing.

-- The recent run time of an attempt, as workers see it; NULL: nobody has run one yet, and each task travels alone.
ALTER TABLE task_type ADD COLUMN run_ms double precision;
COMMENT ON COLUMN queue.bundle_max IS 'not used: run times and free slots say how much a message holds; goes one release later';

-- A parked row of the outbox: the broker refuses its queue, or the queue is full. It names that queue, its publish_after is
-- 'infinity', and it stays as it is until the broker takes it. All other rows name no queue.
ALTER TABLE owed
    ADD COLUMN queue text COLLATE "C",
    ADD COLUMN class smallint;
CREATE INDEX owed_parked ON owed (queue, class, id) WHERE queue IS NOT NULL;

-- When a relay next tries a queue that has parked rows. Nobody's: tasks of several owners share a queue.
CREATE TABLE parked_queue (
    queue  text     COLLATE "C" NOT NULL,
    class  smallint NOT NULL,
    pause  interval NOT NULL,                                      -- until the try after the next one
    try_at timestamptz NOT NULL,
    PRIMARY KEY (queue, class)
);
