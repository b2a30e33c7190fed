-- What plans are counted in. The scale of an asset never changes.
CREATE TABLE IF NOT EXISTS assets (
  code TEXT PRIMARY KEY,
  scale INT8 NOT NULL,
  CONSTRAINT assets_scale_known CHECK (scale BETWEEN 0 AND 18))
