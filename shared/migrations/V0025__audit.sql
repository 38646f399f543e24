-- Who gave which order, and what coordination needs to know of clients that hang up. Adds only: a program that knows nothing of
-- it goes on working.

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

-- Which request asked last for a lease, until its client is known to have the answer: what that request leaves behind when its
-- client hangs up is its own to take back. And the condition whose notify a waiter has, until its client knows of it.
ALTER TABLE lease
    ADD COLUMN asker    uuid,
    ADD COLUMN notified text COLLATE "C";
CREATE INDEX lease_notified ON lease (object_id, notified) WHERE notified IS NOT NULL AND standing IN ('waiting', 'held');

-- SHA-256 of what was put in under an id, so that the id is not used for something else. NULL: put in by an older program.
ALTER TABLE work_item ADD COLUMN digest bytea;

-- Lists by name.
CREATE INDEX coordination_listed ON coordination (owner_id, kind, name);
CREATE INDEX workflow_listed ON workflow (owner_id, id);
