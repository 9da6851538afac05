-- For what forgets the outcomes of single disconnects (P1).
CREATE INDEX authorizations_ended ON authorizations (outcome_at) WHERE job_id IS NULL AND outcome IS NOT NULL;
