-- Whom the upstream named, by sources whose names are others than authorizations.sub:
-- hashes, '' until one was said (R12).
ALTER TABLE authorizations ADD COLUMN id_token_account TEXT NOT NULL DEFAULT '';
ALTER TABLE authorizations ADD COLUMN introspection_account TEXT NOT NULL DEFAULT '';
