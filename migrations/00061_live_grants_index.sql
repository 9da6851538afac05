-- Finds whose authorizations still use a grant (store/grants.go): what is unlinked does not, and a job may have very many of
-- one grant. Statements of the release before are served by it as well.
CREATE INDEX {{concurrently}} IF NOT EXISTS authorizations_live_grants ON authorizations (grant_key_v2) WHERE unlinked_at IS NULL AND outcome IS NULL;
DROP INDEX {{concurrently}} IF EXISTS authorizations_grant_v2;
