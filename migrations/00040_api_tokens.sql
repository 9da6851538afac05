-- The API token that an admin made this one with, '' where it was made on the command line, and when it was used last, to
-- the hour.
ALTER TABLE api_tokens ADD COLUMN made_by TEXT NOT NULL DEFAULT '';
ALTER TABLE api_tokens ADD COLUMN last_used_at {{time}};
CREATE INDEX api_tokens_of_org ON api_tokens (org_id, created_at, id);
CREATE INDEX api_tokens_made_by ON api_tokens (made_by) WHERE made_by <> '';
