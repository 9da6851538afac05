-- Finds connections of which it is to be told that they will end.
CREATE INDEX {{concurrently}} IF NOT EXISTS credentials_expiring ON credentials (expiring_at) WHERE expiring_at IS NOT NULL;
