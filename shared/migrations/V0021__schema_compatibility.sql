-- Which programs can work with this schema. The schema's own version is its newest migration, in refinery_schema_history.
--
-- A migration that takes away what an older program needs (a contract) raises this number to the first version of the schema
-- whose programs do without. Programs ask when they start: deploy/docs/UPGRADING.md.
CREATE TABLE schema_compatibility (
    the_only_row   boolean PRIMARY KEY DEFAULT true CHECK (the_only_row),
    oldest_version int4    NOT NULL                             -- the newest migration that the oldest such program brings
);
-- Older programs do not ask.
INSERT INTO schema_compatibility (oldest_version) VALUES (21);
