-- What is wrong with a provider's client, or with its upstream's token endpoint, as a
-- whole (R5, R13, R15): '' for nothing. trouble_since is when the first of the answers
-- came that show it, trouble_version the version of the client secret they were given
-- to. From probe_at on one authorization may ask; probed_by is the one that asked last.
ALTER TABLE providers ADD COLUMN trouble TEXT NOT NULL DEFAULT '';
ALTER TABLE providers ADD COLUMN trouble_code TEXT NOT NULL DEFAULT '';
ALTER TABLE providers ADD COLUMN trouble_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE providers ADD COLUMN trouble_since {{time}};
ALTER TABLE providers ADD COLUMN probe_at {{time}};
ALTER TABLE providers ADD COLUMN probed_by TEXT NOT NULL DEFAULT '';
CREATE INDEX providers_in_trouble ON providers (probe_at) WHERE trouble <> '';

-- How many attempts in a row have an unknown outcome (R3).
ALTER TABLE credentials ADD COLUMN lost_answers BIGINT NOT NULL DEFAULT 0;
-- The refusal that was met last and ended nothing: what it was, how often in a row and
-- since when it was the same, and since when there was nothing but refusals (R15).
ALTER TABLE credentials ADD COLUMN refusal TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN refusals BIGINT NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN refusal_since {{time}};
ALTER TABLE credentials ADD COLUMN refused_since {{time}};
-- The version of the client secret that next_attempt_at depends on; 0 for none (R5).
ALTER TABLE credentials ADD COLUMN gate_version BIGINT NOT NULL DEFAULT 0;

-- Verdicts that are void count for nothing, so that the index must not leave them out.
DROP INDEX credentials_idle;
CREATE INDEX credentials_idle ON credentials (keep_alive_at) WHERE keep_alive_at IS NOT NULL;

-- A refused client is the provider's trouble now, and no verdict about one grant.
UPDATE credentials SET verdict = NULL, verdict_reason = '' WHERE verdict = 'invalidOAuthClient';
DELETE FROM pauses WHERE class = 'client';

-- The authorizations whose revocation the upstream refused to the client, in a row (D4).
ALTER TABLE jobs ADD COLUMN refused_items {{json}} NOT NULL DEFAULT '[]';
