-- The name of the file of providers that made a provider, '' where none did: only that file may delete it again.
ALTER TABLE providers ADD COLUMN managed_by TEXT NOT NULL DEFAULT '';
