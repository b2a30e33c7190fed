CREATE TRIGGER plans_terms_stay BEFORE UPDATE ON plans
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_plans()
