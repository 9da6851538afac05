-- A sweep takes up due rows of each organisation: see store/fair.go. Statements of the release
-- before are served by other indexes of the same rows.
CREATE INDEX {{concurrently}} IF NOT EXISTS authorizations_tombstones_of_org ON authorizations (org_id, item_due_at) WHERE unlinked_at IS NOT NULL AND outcome IS NULL AND job_id IS NULL;
DROP INDEX {{concurrently}} IF EXISTS authorizations_tombstones;
CREATE INDEX {{concurrently}} IF NOT EXISTS jobs_due_of_org ON jobs (org_id, due_at) WHERE status IN ('PENDING', 'RUNNING');
DROP INDEX {{concurrently}} IF EXISTS jobs_due;
CREATE INDEX {{concurrently}} IF NOT EXISTS flows_to_settle_of_org ON flows (org_id, (CASE WHEN settle_at > expires_at THEN settle_at ELSE expires_at END)) WHERE status = 'exchanged';
DROP INDEX {{concurrently}} IF EXISTS flows_to_settle;
