-- The second version of fingerprints and grant keys. The columns of the first one,
-- fingerprint and grant_key, stay while processes of the release before may run: see
-- docs/decisions/0021-versions-of-keys-and-bindings.md.
ALTER TABLE providers ADD COLUMN fingerprint_v2 TEXT NOT NULL DEFAULT '';
ALTER TABLE authorizations ADD COLUMN fingerprint_v2 TEXT NOT NULL DEFAULT '';
ALTER TABLE authorizations ADD COLUMN grant_key_v2 TEXT NOT NULL DEFAULT '';
CREATE INDEX authorizations_grant_v2 ON authorizations (grant_key_v2) WHERE outcome IS NULL;
-- What the sweep has still to write the second version into.
CREATE INDEX authorizations_v1 ON authorizations (id) WHERE fingerprint_v2 = '' AND outcome IS NULL;
CREATE INDEX providers_v1 ON providers (id) WHERE fingerprint_v2 = '';

-- Client secrets sealed to the origins alone (1), or to every endpoint (2).
ALTER TABLE secure_configs ADD COLUMN binding BIGINT NOT NULL DEFAULT 1;
CREATE INDEX secure_configs_v1 ON secure_configs (id) WHERE binding = 1;

-- When rows of the first version were met. Where there are none, nothing of the
-- release before can be running.
CREATE TABLE upgrades (
    name     TEXT PRIMARY KEY,
    began_at {{time}} NOT NULL
);
INSERT INTO upgrades (name, began_at) SELECT 'keys', CURRENT_TIMESTAMP WHERE EXISTS (SELECT 1 FROM providers);

-- Tokens that were superseded (D7): their provider is gone, and another authorization
-- of the same organisation lives on the grant. They are revoked when that one is.
CREATE TABLE superseded_pairs (
    id         TEXT PRIMARY KEY,
    org_id     TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    grant_key  TEXT NOT NULL,
    job_id     TEXT,
    sealed     {{bytes}} NOT NULL,
    expires_at {{time}},
    has_refresh_token BOOLEAN NOT NULL,
    kept_at    {{time}} NOT NULL
);
CREATE INDEX superseded_pairs_of_grant ON superseded_pairs (org_id, grant_key);
CREATE INDEX superseded_pairs_of_user ON superseded_pairs (org_id, user_id);
CREATE INDEX superseded_pairs_of_job ON superseded_pairs (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX superseded_pairs_old ON superseded_pairs (kept_at);

-- Of a job that revokes: how many of the superseded pairs are kept, and how many
-- authorizations were spared because of another organisation's (D1).
ALTER TABLE jobs ADD COLUMN kept BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN spared BIGINT NOT NULL DEFAULT 0;
