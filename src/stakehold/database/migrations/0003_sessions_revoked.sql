-- A user's revoked sessions, without reading all those that are not.
CREATE INDEX IF NOT EXISTS sessions_revoked ON sessions (user_id, revoked_at)
