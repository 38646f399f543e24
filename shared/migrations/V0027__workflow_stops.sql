-- A workflow is stopped some hundred nodes at a time, so that nothing waits for the lock of its row for long.

ALTER TABLE workflow ADD COLUMN stop_next integer;                 -- the first node that its stop has not reached; NULL: no stop is under way

-- For the reconciler that goes on with stops whose process died, and with those that a failure began.
CREATE INDEX workflow_stops ON workflow (id) WHERE stop_next IS NOT NULL;
