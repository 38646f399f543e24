-- What clients and handlers wrote, digit for digit. jsonb keeps numbers by value (1E5 becomes 100000), and refuses some.
-- A task that was accepted, or said its progress, before this has the old columns only; nothing writes them any more.
ALTER TABLE task ADD COLUMN metadata_text text, ADD COLUMN progress_text text;
