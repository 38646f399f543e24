-- About how long the tasks of a queue took lately: workers keep it, publishers fill their messages by it.
ALTER TABLE queue ADD COLUMN run_seconds double precision;         -- NULL: nothing has run yet
