-- A user's stakes are one range of the primary key; ids are UUIDv7, so that range is in the order of making.
CREATE TABLE IF NOT EXISTS stakes (
  user_id UUID NOT NULL,
  id UUID NOT NULL,
  amount_minor NUMERIC(38, 0) NOT NULL,
  plan_id TEXT NOT NULL,
  plan_version INT8 NOT NULL,
  PRIMARY KEY (user_id, id),
  CONSTRAINT stakes_amount_positive CHECK (amount_minor > 0))
