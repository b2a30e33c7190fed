-- A version of a plan is what stakes were promised: when its sale ends may change, and nothing else of it.
CREATE OR REPLACE FUNCTION refuse_change_of_plans() RETURNS TRIGGER LANGUAGE PLpgSQL AS $$
BEGIN
  IF (NEW).id <> (OLD).id OR (NEW).version <> (OLD).version OR (NEW).asset <> (OLD).asset
     OR (NEW).scale <> (OLD).scale OR (NEW).period_months <> (OLD).period_months
     OR (NEW).rate_ppm <> (OLD).rate_ppm OR (NEW).rate_bands IS DISTINCT FROM (OLD).rate_bands
     OR (NEW).day_count <> (OLD).day_count OR (NEW).minimum_minor <> (OLD).minimum_minor
     OR (NEW).maximum_minor IS DISTINCT FROM (OLD).maximum_minor OR (NEW).step_minor <> (OLD).step_minor
     OR (NEW).user_cap_minor IS DISTINCT FROM (OLD).user_cap_minor
     OR (NEW).capacity_minor IS DISTINCT FROM (OLD).capacity_minor
     OR (NEW).on_sale_from <> (OLD).on_sale_from OR (NEW).early_exit <> (OLD).early_exit
     OR (NEW).early_exit_ppm <> (OLD).early_exit_ppm OR (NEW).minimum_hold_days <> (OLD).minimum_hold_days
     OR (NEW).cooldown_s <> (OLD).cooldown_s OR (NEW).grace_s <> (OLD).grace_s THEN
    RAISE EXCEPTION 'the terms of a plan never change: publish another version';
  END IF;
  RETURN NEW;
END
$$
