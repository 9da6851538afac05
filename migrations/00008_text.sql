-- Whether the upstream granted more scopes than are kept (T3).
ALTER TABLE authorizations ADD COLUMN scopes_cut BOOLEAN NOT NULL DEFAULT FALSE;

-- When a sweep may next try to settle the tokens of a consent that have no owner; NULL
-- before the first try. settle_failures counts the tries that failed (T4).
ALTER TABLE flows ADD COLUMN settle_at {{time}};
ALTER TABLE flows ADD COLUMN settle_failures BIGINT NOT NULL DEFAULT 0;
CREATE INDEX flows_unsettled ON flows (provider_id, expires_at) WHERE status = 'exchanged';

-- When a sweep may next enqueue a refresh of these tokens; NULL before the first (T4).
ALTER TABLE credentials ADD COLUMN sweep_at {{time}};
