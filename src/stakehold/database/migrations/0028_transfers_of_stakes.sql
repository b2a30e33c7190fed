-- Stakes that were made before there was a ledger get the transfer that made them: each user's in their order,
-- every hash on the one before.
INSERT INTO transfers (user_id, seq, id, kind, debit_account, credit_account, asset, amount_minor, stake_id,
                       reverses, actor, at_ms, reason, hash)
WITH RECURSIVE made AS (
  SELECT s.user_id, row_number() OVER (PARTITION BY s.user_id ORDER BY s.id) AS seq, s.id, p.asset, s.amount_minor,
         floor(extract(epoch FROM s.created_at) * 1000)::INT8 AS at_ms
    FROM stakes s JOIN plans p ON p.id = s.plan_id AND p.version = s.plan_version
   WHERE NOT EXISTS (SELECT 1 FROM transfers t WHERE t.user_id = s.user_id)),
chained AS (
  SELECT m.user_id, m.seq, m.id, m.asset, m.amount_minor, m.at_ms,
         ltrim(sha256(('|' || m.user_id::TEXT || '|' || m.seq::TEXT || '|' || m.id::TEXT || '|stake|custody|stake:'
           || m.id::TEXT || '|' || m.asset || '|' || m.amount_minor::TEXT || '|' || m.id::TEXT || '||user|'
           || m.at_ms::TEXT || '|')::BYTEA)::TEXT, '\x') AS hash
    FROM made m WHERE m.seq = 1
  UNION ALL
  SELECT m.user_id, m.seq, m.id, m.asset, m.amount_minor, m.at_ms,
         ltrim(sha256((c.hash || '|' || m.user_id::TEXT || '|' || m.seq::TEXT || '|' || m.id::TEXT
           || '|stake|custody|stake:' || m.id::TEXT || '|' || m.asset || '|' || m.amount_minor::TEXT || '|'
           || m.id::TEXT || '||user|' || m.at_ms::TEXT || '|')::BYTEA)::TEXT, '\x')
    FROM chained c JOIN made m ON m.user_id = c.user_id AND m.seq = c.seq + 1)
SELECT c.user_id, c.seq, c.id, 'stake', 'custody', 'stake:' || c.id::TEXT, c.asset, c.amount_minor, c.id, NULL,
       'user', c.at_ms, NULL, c.hash
  FROM chained c
