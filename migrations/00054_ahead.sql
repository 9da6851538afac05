-- From when on a token in use is refreshed ahead of its callers: a random time after it is due, so that tokens that were
-- saved together are refreshed one after the other. NULL for as soon as it is due.
ALTER TABLE credentials ADD COLUMN ahead_after {{time}};
