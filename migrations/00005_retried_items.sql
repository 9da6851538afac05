-- What a job settled as failed and a later one took up again (D5): the
-- authorization is the later job's, the first one goes on reporting what it met.
CREATE TABLE retried_items (
    job_id           TEXT NOT NULL,
    authorization_id TEXT NOT NULL,
    user_id          TEXT NOT NULL,
    provider_id      TEXT NOT NULL,
    outcome          TEXT NOT NULL,
    outcome_reason   TEXT NOT NULL,
    outcome_at       {{time}} NOT NULL,
    PRIMARY KEY (job_id, authorization_id)
);
