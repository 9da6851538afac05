-- token_ends_at is when the bearer token of a trusted issuer ends that a connect link was made with: the link ends with it.
-- NULL for links that were made with an API token.
ALTER TABLE connect_links ADD COLUMN token_ends_at {{time}};
-- user_revoked says that everything of the flow's user was revoked while it was under way: what it brings is revoked too.
ALTER TABLE flows ADD COLUMN user_revoked BOOLEAN NOT NULL DEFAULT FALSE;
