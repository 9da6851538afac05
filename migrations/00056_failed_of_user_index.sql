-- Finds what could not be revoked of a user, when everything of the user is revoked again.
CREATE INDEX {{concurrently}} IF NOT EXISTS authorizations_failed_of_user ON authorizations (org_id, user_id) WHERE outcome = 'failed';
