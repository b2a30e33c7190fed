CREATE OR REPLACE FUNCTION refuse_change_of_ledger() RETURNS TRIGGER LANGUAGE PLpgSQL AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only: correct it by a reversal';
END
$$
