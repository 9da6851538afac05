-- A client secret that was replaced, and is tried until it ends where the new one is refused. ends_at is NULL for the secret
-- that a provider has now; used_at is when the former one was accepted last, after the new one had been refused.
ALTER TABLE secure_configs ADD COLUMN ends_at {{time}};
ALTER TABLE secure_configs ADD COLUMN used_at {{time}};
CREATE INDEX secure_configs_ending ON secure_configs (ends_at) WHERE ends_at IS NOT NULL;
