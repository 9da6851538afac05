-- What an access token that somebody shows is found by: a MAC of it, under a key that is derived from the keyset. The former
-- one of a refresh that left it alive is found until it expires.
ALTER TABLE credentials ADD COLUMN access_mac {{bytes}};
ALTER TABLE credentials ADD COLUMN previous_mac {{bytes}};
ALTER TABLE credentials ADD COLUMN previous_until {{time}};
CREATE INDEX credentials_access_mac ON credentials (access_mac) WHERE access_mac IS NOT NULL;
CREATE INDEX credentials_previous_mac ON credentials (previous_mac) WHERE previous_mac IS NOT NULL;
CREATE INDEX credentials_without_mac ON credentials (access_mac, id) WHERE access_mac IS NULL;
