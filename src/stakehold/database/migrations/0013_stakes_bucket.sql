-- One of 16, from the id's last byte, which is random: it leads the index by date, so that no range of it is hot.
ALTER TABLE stakes ADD COLUMN IF NOT EXISTS bucket INT8
  GENERATED ALWAYS AS (get_byte(decode(right(id::TEXT, 2), 'hex'), 0) % 16) STORED
