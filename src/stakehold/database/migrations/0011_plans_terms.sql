-- `rate_bands` is JSON, [["0", 30000], ["100000000000", 50000]]: from which minor unit on, at how many ppm a year;
-- NULL for the one rate of `rate_ppm`. The defaults are the terms of the versions that were there before.
ALTER TABLE plans
  ADD COLUMN IF NOT EXISTS rate_bands TEXT NULL,
  ADD COLUMN IF NOT EXISTS day_count TEXT NOT NULL DEFAULT 'ACT/365F',
  ADD COLUMN IF NOT EXISTS maximum_minor NUMERIC(38, 0) NULL,
  ADD COLUMN IF NOT EXISTS step_minor NUMERIC(38, 0) NOT NULL DEFAULT 1,
  ADD COLUMN IF NOT EXISTS user_cap_minor NUMERIC(38, 0) NULL,
  ADD COLUMN IF NOT EXISTS capacity_minor NUMERIC(38, 0) NULL,
  ADD COLUMN IF NOT EXISTS early_exit TEXT NOT NULL DEFAULT 'forfeit_all',
  ADD COLUMN IF NOT EXISTS early_exit_ppm INT8 NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS minimum_hold_days INT8 NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS cooldown_s INT8 NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS grace_s INT8 NOT NULL DEFAULT 3600
