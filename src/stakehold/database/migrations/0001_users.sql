-- The id is a UUIDv7, which says when the user was made. Raising `epoch` ends every session made before.
CREATE TABLE IF NOT EXISTS users (
  id UUID PRIMARY KEY,
  username TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  status TEXT NOT NULL,
  epoch INT8 NOT NULL,
  CONSTRAINT users_username_key UNIQUE (username),
  CONSTRAINT users_status_known CHECK (status IN ('active', 'disabled')))
