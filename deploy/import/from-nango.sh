#!/usr/bin/env bash
# Prints the OAuth 2 connections of a Nango environment, as import.sh reads them. The user is the connection's end user, or its
# connection id where it has none; the provider is the integration's id, so give grantd's provider that slug.
#
# NANGO_URL is https://api.nango.dev or your own server; NANGO_KEY is the environment's secret key, which must be allowed to read
# credentials. Needs bash, curl and jq.
set -euo pipefail
url=${NANGO_URL:?set NANGO_URL, such as https://api.nango.dev}
: "${NANGO_KEY:?set NANGO_KEY to the secret key of the environment}"

get() { curl --silent --show-error --fail --max-time 60 --header @<(printf 'Authorization: Bearer %s' "$NANGO_KEY") "$1"; }

page=0
while :; do
  connections=$(get "$url/connections?limit=100&page=$page" | jq -c '.connections[]')
  [ -n "$connections" ] || break
  while IFS= read -r connection; do
    at=$(jq -r '"\(.connection_id | @uri)?provider_config_key=\(.provider_config_key | @uri)&refresh_token=true"' <<<"$connection")
    get "$url/connections/$at" | jq -c '
      select(.credentials.type == "OAUTH2")
      | {user: (.end_user.id // .connection_id), provider: .provider_config_key}
      + if (.credentials.refresh_token // "") != "" then {refreshToken: .credentials.refresh_token}
        else {accessToken: .credentials.access_token}
          + if .credentials.expires_at then {expiresIn: ([1, ((.credentials.expires_at | sub("\\.[0-9]+"; "") | fromdate) - now | floor)] | max)} else {} end
        end'
  done <<<"$connections"
  page=$((page + 1))
done
