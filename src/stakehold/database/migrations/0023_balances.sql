-- What the ledger comes to, beside it: the user's `available` account, and all accounts of stakes together. Sums
-- have more digits than an amount may have.
CREATE TABLE IF NOT EXISTS balances (
  user_id UUID NOT NULL,
  asset TEXT NOT NULL,
  available_minor NUMERIC(60, 0) NOT NULL,
  staked_minor NUMERIC(60, 0) NOT NULL,
  PRIMARY KEY (user_id, asset),
  CONSTRAINT balances_available_not_negative CHECK (available_minor >= 0),
  CONSTRAINT balances_staked_not_negative CHECK (staked_minor >= 0))
