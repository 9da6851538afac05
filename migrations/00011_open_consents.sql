-- How many consents of an organisation are open is counted whenever one begins (T2).
CREATE INDEX flows_open ON flows (org_id, expires_at) WHERE status IN ('open', 'claimed');
