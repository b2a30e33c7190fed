-- `due_at` is when settlement has something to do with it, NULL once it has ended. `origin_date` is the value date
-- of the first stake in a line of renewals, `origin_months` counts from there to maturity.
ALTER TABLE stakes
  ADD COLUMN IF NOT EXISTS state TEXT NOT NULL DEFAULT 'active',
  ADD COLUMN IF NOT EXISTS created_at TIMESTAMPTZ NULL,
  ADD COLUMN IF NOT EXISTS value_date DATE NULL,
  ADD COLUMN IF NOT EXISTS maturity_date DATE NULL,
  ADD COLUMN IF NOT EXISTS origin_date DATE NULL,
  ADD COLUMN IF NOT EXISTS origin_months INT8 NULL,
  ADD COLUMN IF NOT EXISTS maturity_instruction TEXT NOT NULL DEFAULT 'payout',
  ADD COLUMN IF NOT EXISTS renewed_from UUID NULL,
  ADD COLUMN IF NOT EXISTS renewed_to UUID NULL,
  ADD COLUMN IF NOT EXISTS due_at TIMESTAMPTZ NULL,
  ADD COLUMN IF NOT EXISTS exited_on DATE NULL,
  ADD COLUMN IF NOT EXISTS reward_minor NUMERIC(60, 0) NULL,
  ADD COLUMN IF NOT EXISTS forfeited_minor NUMERIC(60, 0) NULL,
  ADD COLUMN IF NOT EXISTS ended_at TIMESTAMPTZ NULL
