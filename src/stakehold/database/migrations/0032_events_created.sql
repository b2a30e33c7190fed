-- For sweeping and replaying by date; the id is in it so that an event is found by id alone within its bucket.
CREATE INDEX IF NOT EXISTS events_created ON events (bucket, created_at, id)
