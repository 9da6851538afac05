-- What token_fetches counted some weeks ago, added up by day (H2).
CREATE TABLE token_fetch_days (
    authorization_id TEXT NOT NULL,
    day              {{time}} NOT NULL,
    token_id         TEXT NOT NULL,
    org_id           TEXT NOT NULL,
    user_id          TEXT NOT NULL,
    fetches          BIGINT NOT NULL,
    last_minute      {{time}} NOT NULL,
    PRIMARY KEY (authorization_id, day, token_id)
);
CREATE INDEX token_fetch_days_old ON token_fetch_days (last_minute);
