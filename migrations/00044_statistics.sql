-- What an organisation had and did on each day of UTC: how many connections were in a state when it was counted last, and how
-- often something happened.
CREATE TABLE statistics (
    org_id TEXT NOT NULL,
    day    {{time}} NOT NULL,
    name   TEXT NOT NULL,
    n      BIGINT NOT NULL,
    PRIMARY KEY (org_id, day, name)
);
CREATE INDEX statistics_old ON statistics (day);
