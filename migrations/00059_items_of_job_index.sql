-- Finds what a job that revokes a user is to take up next: there may be a million items.
CREATE INDEX {{concurrently}} IF NOT EXISTS authorizations_items_of_job ON authorizations (job_id, item_due_at) WHERE outcome IS NULL AND job_id IS NOT NULL;
