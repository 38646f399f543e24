-- Which of several installations behind one address this is: a part of every id that is made here. Written once, after the first
-- migration, from CARAWAY_CELL; NULL until then. Adds only: a program that knows nothing of it goes on working.
ALTER TABLE installation ADD COLUMN cell smallint CHECK (cell BETWEEN 0 AND 4095);
