-- What tells this installation from others: one id, made here and never changed. Names in Redis begin with it, so that two
-- installations that share a Redis do not meet.
CREATE TABLE installation (
    the_only_row boolean PRIMARY KEY DEFAULT true CHECK (the_only_row),
    id           uuid    NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO installation DEFAULT VALUES;
