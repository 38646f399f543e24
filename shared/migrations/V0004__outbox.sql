-- What is owed to the broker, and what runs, as one row a commit instead of columns and indexes of every task: with them no
-- update of a task was a HOT one, and the three writes of a task cost the database twice as much (ARCHITECTURE.md, "The
-- outbox and the holds").

-- The outbox: tasks that became queued in one commit. Paid, and removed, when the broker has confirmed their messages.
CREATE TABLE owed (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id      bigint      NOT NULL DEFAULT 1,                  -- of nobody: a commit holds tasks of several owners
    publish_after timestamptz NOT NULL DEFAULT now() + interval '1 second',  -- a relay may publish from then on
    ids           uuid[]      NOT NULL
) WITH (
    toast_tuple_target = 8160,                                     -- 256 ids stay in the row
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE owed ALTER COLUMN ids SET STORAGE EXTERNAL;            -- ids do not compress
CREATE INDEX owed_due ON owed (publish_after);

-- The holds: tasks that were claimed in one commit, by whom. An index over what runs: the task's own row decides. Removed
-- some time after the last of them was recorded.
CREATE TABLE hold (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id   bigint NOT NULL DEFAULT 1,                          -- as above
    session_id bigint NOT NULL,
    ids        uuid[] NOT NULL
) WITH (
    toast_tuple_target = 8160,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE hold ALTER COLUMN ids SET STORAGE EXTERNAL;
CREATE INDEX hold_session ON hold (session_id);

INSERT INTO owed (publish_after, ids) SELECT now(), array_agg(id) FROM (
    SELECT id, row_number() OVER (ORDER BY id) / 200 AS part FROM task WHERE state = 'queued') t GROUP BY part;
INSERT INTO hold (session_id, ids) SELECT session_id, array_agg(id) FROM task
WHERE state = 'running' AND session_id IS NOT NULL GROUP BY session_id;

DROP INDEX task_listed, task_owed, task_published, task_cancelling;
ALTER TABLE task DROP COLUMN publish_after, DROP COLUMN published_at;

-- Under which state lists find it: a claim leaves it where it is, for what runs is found by the holds, and so a claim stays a
-- HOT update.
ALTER TABLE task
    ADD COLUMN shelf task_state NOT NULL
        GENERATED ALWAYS AS (CASE state WHEN 'running' THEN 'queued'::task_state ELSE state END) STORED;
-- Of the priority: the broker queue it goes to. A column, because the list index is read by it.
ALTER TABLE task ADD COLUMN class smallint NOT NULL DEFAULT 1;
UPDATE task SET class = CASE WHEN priority >= 7 THEN 2 WHEN priority >= 3 THEN 1 ELSE 0 END;
-- When it was last owed again, by a hand-back (then perhaps in the future) or by the audit; NULL: never.
ALTER TABLE task ADD COLUMN offered_at timestamptz;
-- Names are ASCII and are compared for equality and order only: by their bytes.
ALTER TABLE task
    ALTER COLUMN name TYPE text COLLATE "C",
    ALTER COLUMN queue TYPE text COLLATE "C",
    ALTER COLUMN error_code TYPE text COLLATE "C";
CREATE INDEX task_listed ON task (shelf, class, owner_id, queue, name, error_code, uuid_send(id));

-- After the update, where the condition costs a comparison; before it, each row of each update was locked for the trigger's
-- sake, and the long condition was read anew by each statement.
DROP TRIGGER task_terminal_stays ON task;
CREATE OR REPLACE FUNCTION task_terminal_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, OLD.epoch, OLD.attempt, OLD.result, OLD.error, OLD.finished_at)
        IS DISTINCT FROM (NEW.state, NEW.epoch, NEW.attempt, NEW.result, NEW.error, NEW.finished_at) THEN
        RAISE EXCEPTION 'task % is %: a terminal task never changes', OLD.id, OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'task_terminal_stays';
    END IF;
    RETURN NULL;
END $$;
-- The terminal states are the last ones of their type.
CREATE TRIGGER task_terminal_stays AFTER UPDATE ON task FOR EACH ROW
    WHEN (OLD.state > 'running') EXECUTE FUNCTION task_terminal_stays();

-- Room for a claim on the page of every row, and for the next one after it.
ALTER TABLE task SET (fillfactor = 50);
