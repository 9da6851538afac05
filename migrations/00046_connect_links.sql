-- Addresses that apps send people to, who connect an account there. Of what the address ends with only the SHA-256 is
-- kept. token_id is the API token that the link was made with, and made_by whose that is. flow_id is the consent that the
-- link was opened with, in one browser; without one nobody has opened it. ended says how it ended, '' as long as it has
-- not, or where the consent tells. replaces is the authorization that was the user's default at the provider before.
CREATE TABLE connect_links (
    id          TEXT PRIMARY KEY,
    key_hash    {{bytes}} NOT NULL,
    org_id      TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    token_id    TEXT NOT NULL,
    made_by     TEXT NOT NULL,
    app_name    TEXT NOT NULL,
    return_url  TEXT NOT NULL,
    scopes      {{json}} NOT NULL,
    confirm     BOOLEAN NOT NULL,
    sign_in     BOOLEAN NOT NULL,
    popup       BOOLEAN NOT NULL,
    flow_id     TEXT,
    ended       TEXT NOT NULL,
    replaces    TEXT,
    expires_at  {{time}} NOT NULL,
    created_at  {{time}} NOT NULL
);
CREATE UNIQUE INDEX connect_links_key ON connect_links (key_hash);
CREATE UNIQUE INDEX connect_links_of_flow ON connect_links (flow_id) WHERE flow_id IS NOT NULL;
-- How many links of a user nobody has opened yet is counted whenever one is made (T2).
CREATE INDEX connect_links_open ON connect_links (org_id, expires_at) WHERE flow_id IS NULL AND ended = '';
CREATE INDEX connect_links_of_provider ON connect_links (provider_id);
CREATE INDEX connect_links_over ON connect_links (expires_at);
-- The origins that links of an API token may send people back to.
ALTER TABLE api_tokens ADD COLUMN return_origins {{json}} NOT NULL DEFAULT '[]';
