-- Deleted, and made again with another rate, a version of a plan would pay what nobody was promised.
CREATE OR REPLACE FUNCTION refuse_loss_of_plans() RETURNS TRIGGER LANGUAGE PLpgSQL AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM stakes s WHERE s.plan_id = (OLD).id AND s.plan_version = (OLD).version) THEN
    RAISE EXCEPTION 'a plan that was staked in is never deleted';
  END IF;
  RETURN OLD;
END
$$
