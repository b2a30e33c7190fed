ALTER TABLE transfers ADD CONSTRAINT transfers_count_from_one CHECK (seq > 0)
