-- What an admin tells people about a provider before they consent.
ALTER TABLE providers ADD COLUMN description TEXT NOT NULL DEFAULT '';
