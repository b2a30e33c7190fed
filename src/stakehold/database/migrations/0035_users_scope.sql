-- What the user may do beyond their own affairs: '' or 'admin'.
ALTER TABLE users ADD COLUMN IF NOT EXISTS scope TEXT NOT NULL DEFAULT ''
