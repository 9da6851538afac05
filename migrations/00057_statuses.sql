-- What an authorization never changes, beside its tokens: its organisation, and when it was made. By them credentials that
-- end an authorization are found in the order of the list. NULL in rows of the release before, until a sweep has filled
-- them in.
ALTER TABLE credentials ADD COLUMN org_id TEXT;
ALTER TABLE credentials ADD COLUMN made_at {{time}};
