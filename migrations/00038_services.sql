-- The providers that an API token is limited to, none where it is not, and the service that did something for a user.
ALTER TABLE api_tokens ADD COLUMN provider_ids {{json}} NOT NULL DEFAULT '[]';
ALTER TABLE audit_events ADD COLUMN actor TEXT NOT NULL DEFAULT '';
