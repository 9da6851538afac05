-- host is the origin that answered, '' where that is not known or does not matter.
-- org_id is whose provider met the pause: it becomes the origin's only when three
-- organisations met it (S3). probe is the call that was let through to find out
-- whether the pause is over, '' while none was.
ALTER TABLE pauses ADD COLUMN org_id TEXT NOT NULL DEFAULT '';
ALTER TABLE pauses ADD COLUMN probe TEXT NOT NULL DEFAULT '';
CREATE INDEX pauses_of_origin ON pauses (host, class);
DELETE FROM pauses WHERE provider_id = '';
