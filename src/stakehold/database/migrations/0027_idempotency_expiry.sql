CREATE INDEX IF NOT EXISTS idempotency_expiry ON idempotency (bucket, expires_at)
