-- Everything grantd keeps. The three type words in braces are rendered per
-- database. Columns that a rule needs name it: see docs/architecture.md.

-- One row a fact about this database. 'canary' is sealed by the keyset (K2).
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value {{bytes}} NOT NULL
);

CREATE TABLE api_tokens (
    id         TEXT PRIMARY KEY,
    org_id     TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    role       TEXT NOT NULL,
    name       TEXT NOT NULL,
    hash       {{bytes}} NOT NULL,
    created_at {{time}} NOT NULL,
    expires_at {{time}},
    revoked_at {{time}}
);

CREATE TABLE providers (
    id               TEXT PRIMARY KEY,
    org_id           TEXT NOT NULL,
    name             TEXT NOT NULL,
    slug             TEXT NOT NULL,
    type             TEXT NOT NULL,
    status           TEXT NOT NULL,
    client_id        TEXT NOT NULL,
    secure_config_id TEXT NOT NULL,
    skip_consent     BOOLEAN NOT NULL,
    host             TEXT NOT NULL,
    settings_url     TEXT NOT NULL,
    scopes           {{json}} NOT NULL,
    redirect_uris    {{json}} NOT NULL,
    config           {{json}} NOT NULL,
    fingerprint      TEXT NOT NULL,
    secret_version   BIGINT NOT NULL,
    delete_job_id    TEXT,
    created_at       {{time}} NOT NULL,
    updated_at       {{time}} NOT NULL
);
CREATE INDEX providers_of_org ON providers (org_id, created_at, id);
-- A provider being deleted occupies no slug (D5).
CREATE UNIQUE INDEX providers_slug ON providers (org_id, slug) WHERE delete_job_id IS NULL;

CREATE TABLE secure_configs (
    id          TEXT PRIMARY KEY,
    provider_id TEXT NOT NULL REFERENCES providers (id) ON DELETE CASCADE,
    sealed      {{bytes}} NOT NULL,
    created_at  {{time}} NOT NULL,
    updated_at  {{time}} NOT NULL
);
CREATE INDEX secure_configs_of_provider ON secure_configs (provider_id);

-- An authorization outlives its provider: its outcome stays until the job's
-- retention ends (D6). So provider_id is no foreign key.
CREATE TABLE authorizations (
    id              TEXT PRIMARY KEY,
    org_id          TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    provider_id     TEXT NOT NULL,
    credential_id   TEXT NOT NULL,
    oauth_client_id TEXT NOT NULL,
    sub             TEXT NOT NULL,
    login           TEXT NOT NULL,
    email           TEXT NOT NULL,
    picture         TEXT NOT NULL,
    scopes          {{json}} NOT NULL,
    fingerprint     TEXT NOT NULL,
    grant_key       TEXT NOT NULL,
    unlinked_at     {{time}},
    revoke_scope    TEXT NOT NULL,
    job_id          TEXT,
    outcome         TEXT,
    outcome_reason  TEXT NOT NULL,
    outcome_at      {{time}},
    item_lease      TEXT,
    item_due_at     {{time}} NOT NULL,
    item_attempts   BIGINT NOT NULL,
    created_at      {{time}} NOT NULL,
    updated_at      {{time}} NOT NULL
);
-- One authorization per (provider, user, account) that may be used.
CREATE UNIQUE INDEX authorizations_account ON authorizations (provider_id, user_id, sub) WHERE unlinked_at IS NULL;
CREATE INDEX authorizations_of_org ON authorizations (org_id, created_at, id) WHERE unlinked_at IS NULL;
CREATE INDEX authorizations_of_user ON authorizations (org_id, user_id, created_at, id) WHERE unlinked_at IS NULL;
CREATE INDEX authorizations_items ON authorizations (provider_id, item_due_at) WHERE outcome IS NULL;
CREATE INDEX authorizations_tombstones ON authorizations (item_due_at) WHERE unlinked_at IS NOT NULL AND outcome IS NULL;
CREATE INDEX authorizations_leased ON authorizations (item_lease) WHERE item_lease IS NOT NULL;
CREATE INDEX authorizations_of_job ON authorizations (job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX authorizations_failed ON authorizations (job_id, id) WHERE outcome = 'failed';
CREATE INDEX authorizations_grant ON authorizations (grant_key) WHERE outcome IS NULL;

CREATE TABLE credentials (
    id                     TEXT PRIMARY KEY,
    authorization_id       TEXT NOT NULL REFERENCES authorizations (id) ON DELETE CASCADE,
    sealed                 {{bytes}} NOT NULL,
    generation             BIGINT NOT NULL,
    saved_by               TEXT NOT NULL,
    has_refresh_token      BOOLEAN NOT NULL,
    expires_at             {{time}},
    refresh_after          {{time}},
    refresh_expires_at     {{time}},
    keep_alive_at          {{time}},
    saved_at               {{time}} NOT NULL,
    lease_owner            TEXT,
    lease_until            {{time}},
    attempt_id             TEXT,
    next_attempt_at        {{time}},
    failures               BIGINT NOT NULL,
    last_attempt           TEXT NOT NULL,
    last_error             TEXT NOT NULL,
    verdict                TEXT,
    verdict_reason         TEXT NOT NULL,
    verdict_generation     BIGINT NOT NULL,
    verdict_secret_version BIGINT NOT NULL
);
CREATE UNIQUE INDEX credentials_of_authorization ON credentials (authorization_id);
CREATE INDEX credentials_idle ON credentials (keep_alive_at) WHERE keep_alive_at IS NOT NULL AND verdict IS NULL;

CREATE INDEX credentials_dead ON credentials (saved_at) WHERE verdict IS NOT NULL;
CREATE INDEX credentials_ambiguous ON credentials (lease_until) WHERE attempt_id IS NOT NULL;

CREATE TABLE flows (
    id               TEXT PRIMARY KEY,
    org_id           TEXT NOT NULL,
    user_id          TEXT NOT NULL,
    provider_id      TEXT NOT NULL,
    channel          TEXT NOT NULL,
    state_hash       {{bytes}} NOT NULL,
    status           TEXT NOT NULL,
    redirect_uri     TEXT NOT NULL,
    skip_consent     BOOLEAN NOT NULL,
    scopes           {{json}} NOT NULL,
    fingerprint      TEXT NOT NULL,
    sealed           {{bytes}} NOT NULL,
    code_hash        {{bytes}},
    sealed_tokens    {{bytes}},
    authorization_id TEXT,
    failure          TEXT NOT NULL,
    claimed_at       {{time}},
    exchanged_at     {{time}},
    delivered_at     {{time}},
    expires_at       {{time}} NOT NULL,
    created_at       {{time}} NOT NULL
);
CREATE UNIQUE INDEX flows_state ON flows (org_id, user_id, provider_id, state_hash);
CREATE INDEX flows_of_provider ON flows (provider_id);
CREATE INDEX flows_ended ON flows (expires_at);

-- Who may decide about a grant upstream right now (D1): a revocation while it is
-- sent, a callback while its authorization becomes live.
CREATE TABLE grant_leases (
    grant_key  TEXT PRIMARY KEY,
    owner      TEXT NOT NULL,
    until      {{time}} NOT NULL,
    revoked_at {{time}}
);
CREATE INDEX grant_leases_of ON grant_leases (owner);
CREATE INDEX grant_leases_over ON grant_leases (until);

-- What an upstream asked us to wait for (S3). provider_id '' speaks for the host.
CREATE TABLE pauses (
    provider_id TEXT NOT NULL,
    host        TEXT NOT NULL,
    class       TEXT NOT NULL,
    until       {{time}} NOT NULL,
    PRIMARY KEY (provider_id, host, class)
);

CREATE TABLE jobs (
    id              TEXT PRIMARY KEY,
    org_id          TEXT NOT NULL,
    type            TEXT NOT NULL,
    name            TEXT NOT NULL,
    status          TEXT NOT NULL,
    provider_id     TEXT,
    user_id         TEXT,
    details         {{json}} NOT NULL,
    resumes         TEXT,
    force           BOOLEAN NOT NULL,
    dedupe_key      TEXT,
    failure         TEXT NOT NULL,
    total           BIGINT NOT NULL,
    revoked         BIGINT NOT NULL,
    already_revoked BIGINT NOT NULL,
    superseded      BIGINT NOT NULL,
    no_live_token   BIGINT NOT NULL,
    unsupported     BIGINT NOT NULL,
    failed          BIGINT NOT NULL,
    abandoned       BIGINT NOT NULL,
    sample_ids      {{json}} NOT NULL,
    ring            BIGINT NOT NULL,
    due_at          {{time}} NOT NULL,
    created_by      TEXT NOT NULL,
    started_at      {{time}},
    finished_at     {{time}},
    created_at      {{time}} NOT NULL
);
CREATE UNIQUE INDEX jobs_once ON jobs (dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX jobs_of_org ON jobs (org_id, created_at, id);
CREATE INDEX jobs_due ON jobs (due_at) WHERE status IN ('PENDING', 'RUNNING');
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- Who did what: ids and codes only (H2).
CREATE TABLE audit_events (
    id               TEXT PRIMARY KEY,
    org_id           TEXT NOT NULL,
    at               {{time}} NOT NULL,
    user_id          TEXT NOT NULL,
    token_id         TEXT NOT NULL,
    action           TEXT NOT NULL,
    provider_id      TEXT NOT NULL,
    authorization_id TEXT NOT NULL,
    job_id           TEXT NOT NULL,
    code             TEXT NOT NULL
);
CREATE INDEX audit_events_old ON audit_events (at);
CREATE INDEX audit_events_of_provider ON audit_events (provider_id, at);
CREATE INDEX audit_events_of_org ON audit_events (org_id, at, action);

-- Token fetches, counted per authorization, caller and minute (H2).
CREATE TABLE token_fetches (
    authorization_id TEXT NOT NULL,
    token_id         TEXT NOT NULL,
    minute           {{time}} NOT NULL,
    org_id           TEXT NOT NULL,
    user_id          TEXT NOT NULL,
    fetches          BIGINT NOT NULL,
    PRIMARY KEY (authorization_id, token_id, minute)
);
CREATE INDEX token_fetches_lately ON token_fetches (minute);
