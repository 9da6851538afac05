-- A user of whom everything was revoked: authorizations that were made until then count as unlinked. The row goes once a job
-- has unlinked all of them.
CREATE TABLE user_revocations (
    org_id  TEXT NOT NULL,
    user_id TEXT NOT NULL,
    at      {{time}} NOT NULL,
    job_id  TEXT NOT NULL,
    PRIMARY KEY (org_id, user_id)
);
CREATE UNIQUE INDEX user_revocations_of_job ON user_revocations (job_id);

-- Where processes of the release before may be running, which do not know these rows, everything is unlinked at once for a
-- day.
INSERT INTO upgrades (name, began_at) SELECT 'user_revocations', {{now}} WHERE EXISTS (SELECT 1 FROM providers);
