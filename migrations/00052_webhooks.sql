-- Events that organisations are told, and the webhooks that they are told at. An event is written into outbox in the
-- transaction of the change that it tells, if the organisation has a webhook, or followed its stream lately
-- (event_feeds.followed_until). Events get their numbers once they are committed, while the row of event_feeds is locked;
-- with its number an event gets a row in webhook_deliveries for each webhook that it is for. Of the rows of one webhook and
-- one subject only the first that is pending has a due_at: the next one gets it when that one has ended.
CREATE TABLE event_feeds (
    org_id         TEXT PRIMARY KEY,
    last_number    BIGINT NOT NULL DEFAULT 0,
    followed_until {{time}},
    served_at      {{time}}
);

CREATE TABLE outbox (
    position         {{serial}},
    event_id         TEXT NOT NULL,
    org_id           TEXT NOT NULL,
    number           BIGINT,
    webhook_id       TEXT NOT NULL,
    type             TEXT NOT NULL,
    subject          TEXT NOT NULL,
    provider_id      TEXT NOT NULL,
    authorization_id TEXT NOT NULL,
    user_id          TEXT NOT NULL,
    job_id           TEXT NOT NULL,
    code             TEXT NOT NULL,
    at               {{time}} NOT NULL
);
CREATE UNIQUE INDEX outbox_event ON outbox (event_id);
CREATE UNIQUE INDEX outbox_number ON outbox (org_id, number) WHERE number IS NOT NULL;
CREATE INDEX outbox_unnumbered ON outbox (org_id, position) WHERE number IS NULL;
CREATE INDEX outbox_at ON outbox (at);

CREATE TABLE webhooks (
    id                TEXT PRIMARY KEY,
    org_id            TEXT NOT NULL,
    url               TEXT NOT NULL,
    description       TEXT NOT NULL,
    events            {{json}} NOT NULL,
    status            TEXT NOT NULL,
    off_reason        TEXT NOT NULL,
    confirmed         BOOLEAN NOT NULL,
    public_key        TEXT NOT NULL,
    sealed            {{bytes}} NOT NULL,
    former_sealed     {{bytes}},
    former_until      {{time}},
    off_at            {{time}},
    failing_since     {{time}},
    failures          INTEGER NOT NULL,
    next_at           {{time}} NOT NULL,
    last_delivered_at {{time}},
    created_at        {{time}} NOT NULL,
    updated_at        {{time}} NOT NULL
);
CREATE INDEX webhooks_off ON webhooks (id) WHERE status = 'off';
CREATE INDEX webhooks_of_org ON webhooks (org_id, created_at, id);

CREATE TABLE webhook_deliveries (
    position   {{serial}},
    id         TEXT NOT NULL,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id   TEXT NOT NULL,
    event_type TEXT NOT NULL,
    subject    TEXT NOT NULL,
    number     BIGINT NOT NULL,
    replayed   BOOLEAN NOT NULL,
    status     TEXT NOT NULL,
    due_at     {{time}},
    lease      TEXT NOT NULL,
    tries      INTEGER NOT NULL,
    first_try  {{time}},
    attempts   {{json}} NOT NULL,
    created_at {{time}} NOT NULL
);
CREATE UNIQUE INDEX webhook_deliveries_id ON webhook_deliveries (id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, subject, position) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_event ON webhook_deliveries (event_id) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_shown ON webhook_deliveries (webhook_id, created_at, id);
CREATE INDEX webhook_deliveries_over ON webhook_deliveries (created_at) WHERE status <> 'pending';
-- For deliveries that wait for a webhook that is off.
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook_id, created_at) WHERE status = 'pending';

-- When it is to be told that a connection will end unless the person consents again; NULL where there is nothing to tell,
-- or it was told.
ALTER TABLE credentials ADD COLUMN expiring_at {{time}};
