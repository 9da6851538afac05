-- Find the causes of the statuses of authorizations. Most are active, and found by none of these: a verdict, a token that ends
-- and cannot be refreshed or is suspected, tokens of another client than the provider's.
CREATE INDEX {{concurrently}} IF NOT EXISTS credentials_with_verdict ON credentials (org_id, made_at, authorization_id) WHERE verdict IS NOT NULL;
CREATE INDEX {{concurrently}} IF NOT EXISTS credentials_ending ON credentials (org_id, made_at, authorization_id) WHERE verdict IS NULL AND NOT has_refresh_token AND (expires_at IS NOT NULL OR suspected = generation);
CREATE INDEX {{concurrently}} IF NOT EXISTS authorizations_of_client ON authorizations (provider_id, fingerprint_v2) WHERE unlinked_at IS NULL;
-- And rows that are still to be filled in.
CREATE INDEX {{concurrently}} IF NOT EXISTS credentials_unfilled ON credentials (id) WHERE org_id IS NULL;
