-- Which tokens are in use, for the sweep that refreshes those before anybody asks again.
-- used_until is how long a token counts as in use; it is moved in steps, since it is
-- written while tokens are fetched. due_at is when a sweep looks whether the token is due,
-- NULL where there is nothing to look for.
CREATE TABLE token_use (
    authorization_id TEXT PRIMARY KEY REFERENCES authorizations (id) ON DELETE CASCADE,
    used_until       {{time}} NOT NULL,
    due_at           {{time}}
);
CREATE INDEX token_use_due ON token_use (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX token_use_over ON token_use (used_until) WHERE due_at IS NOT NULL;
