-- Lists: what the API searches tasks by, each with its index; and the task that waits behind a unique one.

-- Why it failed, once it has: the code of its error. Part of the index below, so never NULL.
ALTER TABLE task ADD COLUMN error_code text NOT NULL DEFAULT '';
UPDATE task SET error_code = left(coalesce(substring(convert_from(error, 'UTF8') FROM '"code":"([^"]*)"'), 'unknown'), 64)
WHERE state = 'failed';

-- One index for every search by state, queue, name and error code, in any combination: a list walks over the few
-- combinations that exist and takes the newest of each. It also tells the rescuer what runs, which the index by session did.
-- The id stands in it as bytes, which sort alike: a planner that last saw the table empty would else take this index for the
-- primary key's work, and read all of it for one task.
CREATE INDEX task_listed ON task (state, queue, owner_id, name, error_code, uuid_send(id));
DROP INDEX task_held;
-- The beat's: what a session is to stop.
CREATE INDEX task_cancelling ON task (session_id) WHERE cancel_requested_at IS NOT NULL AND finished_at IS NULL;
CREATE INDEX task_batch ON task (owner_id, batch_id, id) WHERE batch_id IS NOT NULL;
CREATE INDEX task_retried ON task (retry_of) WHERE retry_of IS NOT NULL;

-- Tags in rows, so that a search by one reads the newest first and no more.
CREATE TABLE task_tag (
    owner_id bigint NOT NULL,
    tag      text   NOT NULL,
    task_id  uuid   NOT NULL,
    PRIMARY KEY (owner_id, tag, task_id)
);
INSERT INTO task_tag SELECT owner_id, unnest(tags), id FROM task WHERE tags <> '{}';

-- `keep_latest`: the newest task that waits until the holder, which runs, has ended.
ALTER TABLE task_unique ADD COLUMN next_id uuid;
CREATE INDEX task_unique_next ON task_unique (next_id) WHERE next_id IS NOT NULL;
