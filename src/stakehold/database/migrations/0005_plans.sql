-- Versions of plans. A version's terms never change; a stake keeps the version it was made under.
CREATE TABLE IF NOT EXISTS plans (
  id TEXT NOT NULL,
  version INT8 NOT NULL,
  asset TEXT NOT NULL,
  scale INT8 NOT NULL,
  period_months INT8 NOT NULL,
  rate_ppm INT8 NOT NULL,
  minimum_minor NUMERIC(38, 0) NOT NULL,
  on_sale_from TIMESTAMPTZ NOT NULL,
  on_sale_until TIMESTAMPTZ NULL,
  PRIMARY KEY (id, version),
  CONSTRAINT plans_scale_known CHECK (scale BETWEEN 0 AND 18),
  CONSTRAINT plans_period_positive CHECK (period_months > 0),
  CONSTRAINT plans_rate_not_negative CHECK (rate_ppm >= 0),
  CONSTRAINT plans_minimum_positive CHECK (minimum_minor > 0))
