-- Only of plans that have, or had, a capacity: a row that every stake of a plan changes is a hot one.
CREATE TABLE IF NOT EXISTS plan_usage (
  plan_id TEXT PRIMARY KEY,
  staked_minor NUMERIC(60, 0) NOT NULL,
  capacity_minor NUMERIC(60, 0) NULL,
  CONSTRAINT plan_usage_not_negative CHECK (staked_minor >= 0),
  CONSTRAINT plan_usage_within_capacity CHECK (staked_minor <= capacity_minor))
