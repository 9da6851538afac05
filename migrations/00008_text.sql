-- Whether the upstream granted more scopes than are kept (T3).
ALTER TABLE authorizations ADD COLUMN scopes_cut BOOLEAN NOT NULL DEFAULT FALSE;

-- When a sweep may next try to settle the tokens of a consent that have no owner, and
-- how often that failed (T4).
ALTER TABLE flows ADD COLUMN settle_at {{time}};
ALTER TABLE flows ADD COLUMN settle_failures BIGINT NOT NULL DEFAULT 0;
UPDATE flows SET settle_at = expires_at WHERE status = 'exchanged';
CREATE INDEX flows_unsettled ON flows (settle_at) WHERE status = 'exchanged';

-- When a sweep may next enqueue a refresh of these tokens (T4).
ALTER TABLE credentials ADD COLUMN sweep_at {{time}};
