-- When a stake was made stays as well, by which the grace period ends; and what it renewed, and the day on which its
-- owner has left it.
-- A function of its own, since CockroachDB replaces none that a trigger uses.
CREATE OR REPLACE FUNCTION refuse_change_of_making() RETURNS TRIGGER LANGUAGE PLpgSQL AS $$
BEGIN
  IF (NEW).created_at <> (OLD).created_at OR (NEW).renewed_from IS DISTINCT FROM (OLD).renewed_from
     OR ((OLD).exited_on IS NOT NULL AND (NEW).exited_on IS DISTINCT FROM (OLD).exited_on) THEN
    RAISE EXCEPTION 'how a stake was made and left never changes';
  END IF;
  RETURN NEW;
END
$$
