-- Which of the requested scopes were not granted.
ALTER TABLE authorizations ADD COLUMN missing_scopes {{json}} NOT NULL DEFAULT '[]';

-- Tokens under suspicion. suspected is the generation whose access token is not
-- handed out any more; the others are what the upstream last said of a generation,
-- so that a loop of checks asks it once.
ALTER TABLE credentials ADD COLUMN suspected BIGINT NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN checked_at {{time}};
ALTER TABLE credentials ADD COLUMN check_generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN check_valid BOOLEAN NOT NULL DEFAULT FALSE;

-- What a RESET_PROVIDER job does to each authorization. generation is that of the
-- token which is to be replaced: a newer one needs no reset.
CREATE TABLE reset_items (
    job_id           TEXT NOT NULL,
    authorization_id TEXT NOT NULL,
    user_id          TEXT NOT NULL,
    provider_id      TEXT NOT NULL,
    generation       BIGINT NOT NULL,
    outcome          TEXT,
    reason           TEXT NOT NULL,
    settled_at       {{time}},
    lease            TEXT,
    due_at           {{time}} NOT NULL,
    attempts         BIGINT NOT NULL,
    PRIMARY KEY (job_id, authorization_id)
);
CREATE INDEX reset_items_due ON reset_items (job_id, due_at) WHERE outcome IS NULL;
CREATE INDEX reset_items_outcomes ON reset_items (job_id, outcome);
