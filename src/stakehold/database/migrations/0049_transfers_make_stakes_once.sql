-- The transfer that makes a stake says under what terms, and is found by the account that it credits.
CREATE UNIQUE INDEX IF NOT EXISTS transfers_make_stakes_once ON transfers (user_id, credit_account)
  WHERE kind IN ('stake', 'renewal')
