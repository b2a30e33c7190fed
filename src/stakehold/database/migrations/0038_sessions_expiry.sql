CREATE INDEX IF NOT EXISTS sessions_expiry ON sessions (bucket, expires_at)
