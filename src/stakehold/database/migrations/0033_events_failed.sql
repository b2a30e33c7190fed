CREATE INDEX IF NOT EXISTS events_failed ON events (bucket, created_at) WHERE failed_at IS NOT NULL
