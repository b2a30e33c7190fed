-- The ledger: each row moves an amount from the account it debits to the account it credits, so that it cannot be
-- out of balance. `hash` is the SHA-256 of the row and of the hash before it (domain/ledger.py says of what).
CREATE TABLE IF NOT EXISTS transfers (
  user_id UUID NOT NULL,
  seq INT8 NOT NULL,
  id UUID NOT NULL,
  kind TEXT NOT NULL,
  debit_account TEXT NOT NULL,
  credit_account TEXT NOT NULL,
  asset TEXT NOT NULL,
  amount_minor NUMERIC(60, 0) NOT NULL,
  stake_id UUID NULL,
  reverses INT8 NULL,
  actor TEXT NOT NULL,
  at_ms INT8 NOT NULL,
  reason TEXT NULL,
  hash TEXT NOT NULL,
  PRIMARY KEY (user_id, seq),
  CONSTRAINT transfers_amount_positive CHECK (amount_minor > 0),
  CONSTRAINT transfers_two_accounts CHECK (debit_account <> credit_account),
  CONSTRAINT transfers_kind_known CHECK
    (kind IN ('stake', 'principal', 'reward', 'renewal', 'deposit', 'withdrawal', 'reversal')))
