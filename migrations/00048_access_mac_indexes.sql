-- Finds credentials by the MACs of their access tokens, and those that have none yet.
CREATE INDEX {{concurrently}} IF NOT EXISTS credentials_access_mac ON credentials (access_mac) WHERE access_mac IS NOT NULL;
CREATE INDEX {{concurrently}} IF NOT EXISTS credentials_previous_mac ON credentials (previous_mac) WHERE previous_mac IS NOT NULL;
CREATE INDEX {{concurrently}} IF NOT EXISTS credentials_without_mac ON credentials (access_mac, id) WHERE access_mac IS NULL;
