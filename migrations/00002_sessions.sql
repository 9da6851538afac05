-- Who is signed in to the pages. The key is the SHA-256 of what the cookie holds,
-- so that a copy of this table signs nobody in.
CREATE TABLE sessions (
    token_hash {{bytes}} PRIMARY KEY,
    data       {{bytes}} NOT NULL,
    expires_at {{time}} NOT NULL
);
CREATE INDEX sessions_over ON sessions (expires_at);

-- Whether a state that came back to our pages belongs to a consent that somebody
-- else completes.
CREATE INDEX flows_of_state ON flows (state_hash);
