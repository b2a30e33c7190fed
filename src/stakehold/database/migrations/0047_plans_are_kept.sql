CREATE TRIGGER plans_are_kept BEFORE DELETE ON plans
  FOR EACH ROW EXECUTE FUNCTION refuse_loss_of_plans()
