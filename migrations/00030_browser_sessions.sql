-- Who is signed in to the pages, in which browser. Of what the cookie holds only the SHA-256 is kept. issuer is the name
-- of the issuer that the person signed in with, and api_token_id the API token, of which one is ''. name is what the
-- issuer calls the person, to be shown and nothing else.
--
-- The table sessions, of the release before, is left to processes of that release, and emptied as its rows expire.
CREATE TABLE browser_sessions (
    id           TEXT PRIMARY KEY,
    token_hash   {{bytes}} NOT NULL,
    org_id       TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    role         TEXT NOT NULL,
    issuer       TEXT NOT NULL,
    api_token_id TEXT NOT NULL,
    name         TEXT NOT NULL,
    address      TEXT NOT NULL,
    created_at   {{time}} NOT NULL,
    last_used_at {{time}} NOT NULL,
    expires_at   {{time}} NOT NULL
);
CREATE UNIQUE INDEX browser_sessions_token ON browser_sessions (token_hash);
CREATE INDEX browser_sessions_of_user ON browser_sessions (org_id, user_id, last_used_at);
CREATE INDEX browser_sessions_over ON browser_sessions (expires_at);
