-- The last transfer of each user: whoever appends takes this row first.
CREATE TABLE IF NOT EXISTS ledger_heads (
  user_id UUID PRIMARY KEY,
  seq INT8 NOT NULL,
  at_ms INT8 NOT NULL,
  hash TEXT NOT NULL)
