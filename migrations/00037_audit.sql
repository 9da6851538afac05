-- For the questions that admins ask of the audit trail: what a person did, and what
-- happened to an authorization. What the service does by itself has no user.
CREATE INDEX audit_events_of_user ON audit_events (org_id, user_id, at) WHERE user_id <> '';
CREATE INDEX audit_events_of_authorization ON audit_events (authorization_id, at) WHERE authorization_id <> '';
