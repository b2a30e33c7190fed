-- Only of plans that have, or had, a cap for each user.
CREATE TABLE IF NOT EXISTS plan_user_usage (
  user_id UUID NOT NULL,
  plan_id TEXT NOT NULL,
  staked_minor NUMERIC(60, 0) NOT NULL,
  cap_minor NUMERIC(60, 0) NULL,
  PRIMARY KEY (user_id, plan_id),
  CONSTRAINT plan_user_usage_not_negative CHECK (staked_minor >= 0),
  CONSTRAINT plan_user_usage_within_cap CHECK (staked_minor <= cap_minor))
