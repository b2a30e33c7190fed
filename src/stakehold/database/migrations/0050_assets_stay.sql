-- In minor units of an asset all amounts are kept: with another scale each would be another amount.
CREATE OR REPLACE FUNCTION refuse_change_of_assets() RETURNS TRIGGER LANGUAGE PLpgSQL AS $$
BEGIN
  RAISE EXCEPTION 'an asset and its scale never change';
END
$$
