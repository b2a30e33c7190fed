CREATE INDEX IF NOT EXISTS stakes_due ON stakes (bucket, due_at) WHERE due_at IS NOT NULL
