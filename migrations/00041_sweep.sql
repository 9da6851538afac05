-- For the sweep, which looks for what is due every two seconds: each of these indexes has
-- the rows alone that one of its questions is about, by the time that they are due.
CREATE INDEX flows_claimed ON flows (claimed_at) WHERE status = 'claimed';
CREATE INDEX flows_lapsing ON flows (expires_at) WHERE status = 'open';
CREATE INDEX flows_exchanged ON flows (exchanged_at) WHERE status = 'exchanged';
CREATE INDEX flows_to_settle ON flows ((CASE WHEN settle_at > expires_at THEN settle_at ELSE expires_at END)) WHERE status = 'exchanged';
CREATE INDEX authorizations_unlinked ON authorizations (unlinked_at) WHERE unlinked_at IS NOT NULL AND outcome IS NULL AND job_id IS NULL;

-- The items of a job that revokes a user are not single disconnects.
DROP INDEX authorizations_tombstones;
CREATE INDEX authorizations_tombstones ON authorizations (item_due_at) WHERE unlinked_at IS NOT NULL AND outcome IS NULL AND job_id IS NULL;

-- What a sweep took up is due again when sweep_at has passed too.
DROP INDEX credentials_idle;
CREATE INDEX credentials_idle ON credentials ((CASE WHEN sweep_at > keep_alive_at THEN sweep_at ELSE keep_alive_at END)) WHERE keep_alive_at IS NOT NULL;
DROP INDEX credentials_ambiguous;
CREATE INDEX credentials_ambiguous ON credentials ((CASE WHEN sweep_at > lease_until THEN sweep_at ELSE lease_until END)) WHERE attempt_id IS NOT NULL;

CREATE INDEX providers_deleting ON providers (delete_job_id) WHERE delete_job_id IS NOT NULL;
