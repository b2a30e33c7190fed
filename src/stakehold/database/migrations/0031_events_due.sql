CREATE INDEX IF NOT EXISTS events_due ON events (bucket, due_at) WHERE due_at IS NOT NULL
