#!/usr/bin/env bash
# Prints the external-auth links of a Coder deployment, as import.sh reads them: from its database, since Coder's API gives nobody
# a refresh token. The user is Coder's username, the provider the id of the external-auth configuration (CODER_EXTERNAL_AUTH_0_ID),
# so give grantd's provider that slug.
#
# PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE say where Coder's database is, as for psql. Tokens that Coder encrypted must be
# decrypted first: coder server dbcrypt decrypt. Needs bash and psql.
set -euo pipefail

# ask takes SQL on standard input.
ask() { psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1; }

encrypted=$(ask <<<"SELECT count(*) FROM external_auth_links WHERE oauth_access_token_key_id IS NOT NULL OR oauth_refresh_token_key_id IS NOT NULL")
if [ "$encrypted" != 0 ]; then
  echo "$encrypted links are encrypted; run: coder server dbcrypt decrypt" >&2
  exit 2
fi
ask <<'SQL'
SELECT json_strip_nulls(json_build_object('user', u.username, 'provider', l.provider_id,
    'refreshToken', NULLIF(l.oauth_refresh_token, ''),
    'accessToken', CASE WHEN l.oauth_refresh_token = '' THEN l.oauth_access_token END,
    'expiresIn', CASE WHEN l.oauth_refresh_token = '' AND l.oauth_expiry > '1970-01-01'
      THEN GREATEST(1, floor(extract(epoch FROM l.oauth_expiry - now()))::bigint) END))
FROM external_auth_links l JOIN users u ON u.id = l.user_id
WHERE NOT u.deleted AND l.oauth_access_token <> '' ORDER BY l.provider_id, u.username
SQL
