CREATE TRIGGER stakes_are_kept BEFORE DELETE ON stakes
  FOR EACH ROW EXECUTE FUNCTION refuse_loss_of_stakes()
