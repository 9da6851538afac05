-- What an access token that somebody shows is found by: a MAC of it, under a key that is derived from the keyset. The former
-- one of a refresh that left it alive is found until it expires.
ALTER TABLE credentials ADD COLUMN access_mac {{bytes}};
ALTER TABLE credentials ADD COLUMN previous_mac {{bytes}};
ALTER TABLE credentials ADD COLUMN previous_until {{time}};
