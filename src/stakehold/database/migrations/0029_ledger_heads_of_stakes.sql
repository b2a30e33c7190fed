INSERT INTO ledger_heads (user_id, seq, at_ms, hash)
SELECT t.user_id, t.seq, t.at_ms, t.hash FROM transfers t
 WHERE NOT EXISTS (SELECT 1 FROM transfers later WHERE later.user_id = t.user_id AND later.seq > t.seq)
ON CONFLICT (user_id) DO NOTHING
