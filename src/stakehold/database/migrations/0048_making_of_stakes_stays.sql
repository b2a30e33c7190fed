-- When a stake was made stays as well: by it the grace period ends. So does the day on which its owner has left it.
CREATE OR REPLACE FUNCTION refuse_change_of_terms() RETURNS TRIGGER LANGUAGE PLpgSQL AS $$
BEGIN
  IF (NEW).user_id <> (OLD).user_id OR (NEW).id <> (OLD).id OR (NEW).amount_minor <> (OLD).amount_minor
     OR (NEW).plan_id <> (OLD).plan_id OR (NEW).plan_version <> (OLD).plan_version
     OR (NEW).value_date <> (OLD).value_date OR (NEW).maturity_date <> (OLD).maturity_date
     OR (NEW).origin_date <> (OLD).origin_date OR (NEW).origin_months <> (OLD).origin_months
     OR (NEW).created_at <> (OLD).created_at
     OR ((OLD).exited_on IS NOT NULL AND (NEW).exited_on IS DISTINCT FROM (OLD).exited_on) THEN
    RAISE EXCEPTION 'the terms of a stake never change';
  END IF;
  RETURN NEW;
END
$$
