INSERT INTO balances (user_id, asset, available_minor, staked_minor)
SELECT t.user_id, t.asset, 0, sum(t.amount_minor) FROM transfers t GROUP BY t.user_id, t.asset
ON CONFLICT (user_id, asset) DO NOTHING
