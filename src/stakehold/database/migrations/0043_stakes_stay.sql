CREATE OR REPLACE FUNCTION refuse_loss_of_stakes() RETURNS TRIGGER LANGUAGE PLpgSQL AS $$
BEGIN
  RAISE EXCEPTION 'a stake is never deleted: its principal is in the ledger';
END
$$
