-- Time limits, expiry and snoozes. Every column may be missing in what an older program writes, so both versions work side by side.

-- When a scheduled task may start, where it expires before that; NULL: at `due_at`, which is the lower of the two.
ALTER TABLE task ADD COLUMN run_at timestamptz;

-- When the first of these attempts is past its hard limit and the grace of its worker; NULL: none has a limit. It lies here and not
-- on the task, because an indexed column of the task would make every claim with a limit a non-HOT update.
ALTER TABLE hold ADD COLUMN overdue_at timestamptz;
-- The deadline sweep's.
CREATE INDEX hold_overdue ON hold (overdue_at) WHERE overdue_at IS NOT NULL;
-- Attempts that run while this is migrated. Their limits are looked at once, soon, and then at the right time.
UPDATE hold SET overdue_at = now() + interval '10 seconds';

-- Snoozes that follow each other are one row, so that a task that snoozes for ever does not fill the table.
ALTER TABLE attempt ADD COLUMN times integer NOT NULL DEFAULT 1;
