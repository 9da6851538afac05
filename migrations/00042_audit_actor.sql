-- For the question what somebody did for other users: a service, or an admin about the API tokens of machines.
CREATE INDEX audit_events_of_actor ON audit_events (org_id, actor, at) WHERE actor <> '';
