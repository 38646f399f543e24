-- The audit of unique tasks: those that wait for a unique key, which are few. A claim leaves `waiting_reason` as it is unless a
-- hand-back has set it, so it stays a HOT update.
CREATE INDEX task_waits_unique ON task (id) WHERE waiting_reason = 'unique';
