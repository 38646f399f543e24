-- Time limits of waits on conditions and of arrivals at barriers; queues that are shut down at once; data that expires.

-- Waiting on a condition: when it goes into the lock's line; 0: it has. At a barrier: when the barrier breaks. NULL: no limit.
ALTER TABLE lease ADD COLUMN alarm_ms bigint;
-- Of a consumer: it leaves a queue that is shut down as soon as nothing is ready.
ALTER TABLE lease ADD COLUMN leaves_empty boolean NOT NULL DEFAULT false;
CREATE INDEX lease_alarm ON lease (object_id, alarm_ms, turn) WHERE standing = 'waiting' AND alarm_ms > 0;
CREATE INDEX lease_alarm_due ON lease (alarm_ms) WHERE standing = 'waiting' AND alarm_ms > 0;

-- A queue that takes no more gives nothing either, and drops what nobody has.
ALTER TABLE coordination ADD COLUMN halted boolean NOT NULL DEFAULT false;

-- A value is gone from then on, if its end was set with its last change: an older program changes `updated_at` and knows no end,
-- so what it writes has none.
ALTER TABLE data ADD COLUMN ends_at timestamptz;
ALTER TABLE data ADD COLUMN end_set_at timestamptz;
CREATE INDEX data_ending ON data (ends_at) WHERE ends_at IS NOT NULL;
