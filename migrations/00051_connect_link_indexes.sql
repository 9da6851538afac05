-- Links are listed by organisation. Those of a user who leaves are ended together.
CREATE INDEX {{concurrently}} IF NOT EXISTS connect_links_of_org ON connect_links (org_id, created_at, id);
CREATE INDEX {{concurrently}} IF NOT EXISTS connect_links_of_user ON connect_links (org_id, user_id) WHERE ended = '';
