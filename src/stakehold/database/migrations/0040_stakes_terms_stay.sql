CREATE TRIGGER stakes_terms_stay BEFORE UPDATE ON stakes
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_terms()
