-- `answer` is what was answered, for writes whose answer does not follow from the id of what they made.
ALTER TABLE idempotency
  ADD COLUMN IF NOT EXISTS answer TEXT NULL,
  ALTER COLUMN stake_id DROP NOT NULL,
  ADD COLUMN IF NOT EXISTS bucket INT8
    GENERATED ALWAYS AS (get_byte(decode(right(user_id::TEXT, 2), 'hex'), 0) % 16) STORED
