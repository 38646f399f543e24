-- Items come in chunk by chunk, and are listed.

-- An upload under way is a row whose content is not known yet: nobody is shown it, and it goes, with its chunks, if nobody
-- finishes it.
ALTER TABLE item ALTER COLUMN bytes DROP NOT NULL, ALTER COLUMN sha256 DROP NOT NULL,
    ADD CONSTRAINT item_whole_or_not CHECK ((bytes IS NULL) = (sha256 IS NULL));
-- The sweep's.
CREATE INDEX item_unfinished ON item (created_at) WHERE sha256 IS NULL;

-- What lists are filtered by: the media type without its parameters. Types are ASCII and are compared by their bytes.
ALTER TABLE item ADD COLUMN media_type text COLLATE "C" NOT NULL
    GENERATED ALWAYS AS (lower(rtrim(split_part(content_type, ';', 1)))) STORED;
-- By time and not by id: the ids of outputs come from their tasks.
CREATE INDEX item_listed ON item (owner_id, created_at, id) WHERE sha256 IS NOT NULL;
CREATE INDEX item_listed_by_type ON item (owner_id, media_type, created_at, id) WHERE sha256 IS NOT NULL;
