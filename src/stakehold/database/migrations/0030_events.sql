-- What has happened, written in the transaction that made it happen, to be sent to a webhook. `due_at` is when it is
-- sent next: NULL once it was delivered, given up, or when nobody is to be told. A deliverer that takes an event moves
-- `due_at` on, so that others leave it alone. The bucket is of the id's last byte, which is random: see stakes.
CREATE TABLE IF NOT EXISTS events (
  user_id UUID NOT NULL,
  id UUID NOT NULL,
  type TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  due_at TIMESTAMPTZ NULL,
  attempts INT8 NOT NULL DEFAULT 0,
  delivered_at TIMESTAMPTZ NULL,
  failed_at TIMESTAMPTZ NULL,
  last_error TEXT NULL,
  bucket INT8 GENERATED ALWAYS AS (get_byte(decode(right(id::TEXT, 2), 'hex'), 0) % 16) STORED,
  PRIMARY KEY (user_id, id),
  CONSTRAINT events_one_end CHECK
    ((due_at IS NULL OR (delivered_at IS NULL AND failed_at IS NULL))
     AND (delivered_at IS NULL OR failed_at IS NULL)))
