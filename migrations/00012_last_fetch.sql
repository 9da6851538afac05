-- Finds when an authorization's token was fetched last without reading all its fetches.
CREATE INDEX token_fetches_of_authorization ON token_fetches (authorization_id, minute);
