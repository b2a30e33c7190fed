ALTER TABLE sessions ADD COLUMN IF NOT EXISTS bucket INT8
  GENERATED ALWAYS AS (get_byte(decode(right(id::TEXT, 2), 'hex'), 0) % 16) STORED
