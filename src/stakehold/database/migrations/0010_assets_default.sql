INSERT INTO assets (code, scale)
SELECT p.asset, max(p.scale) FROM plans p GROUP BY p.asset
ON CONFLICT (code) DO NOTHING
