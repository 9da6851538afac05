-- Consents on another device (RFC 8628): when the upstream may be asked next, and
-- which poll is under way. poll_interval is in nanoseconds; poll_attempt is '' when
-- the outcome of every poll is known.
ALTER TABLE flows ADD COLUMN poll_interval BIGINT NOT NULL DEFAULT 0;
ALTER TABLE flows ADD COLUMN next_poll_at {{time}};
ALTER TABLE flows ADD COLUMN poll_failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE flows ADD COLUMN poll_attempt TEXT NOT NULL DEFAULT '';
