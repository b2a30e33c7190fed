CREATE TRIGGER stakes_making_stays BEFORE UPDATE ON stakes
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_making()
