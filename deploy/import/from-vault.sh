#!/usr/bin/env bash
# Prints credentials of vault-plugin-secrets-oauthapp, as import.sh reads them. The plugin never shows a refresh token, so that
# only access tokens come along: people whose tokens expire consent again. Reads one credential from each line: its name in Vault,
# the user, and the slug of grantd's provider, separated by blanks.
#
# VAULT_ADDR and VAULT_TOKEN are Vault's own; VAULT_MOUNT is where the plugin is mounted (oauth2). Needs bash, curl and jq.
set -euo pipefail
: "${VAULT_ADDR:?set VAULT_ADDR}" "${VAULT_TOKEN:?set VAULT_TOKEN}"

while read -r name user provider || [ -n "$name" ]; do
  [ -n "$name" ] || continue
  if ! answer=$(curl --silent --show-error --fail --max-time 60 --header @<(printf 'X-Vault-Token: %s' "$VAULT_TOKEN") \
    "$VAULT_ADDR/v1/${VAULT_MOUNT:-oauth2}/creds/$(jq -rn --arg name "$name" '$name | @uri')"); then
    echo "reading $name failed" >&2
    continue
  fi
  jq -c --arg user "$user" --arg provider "$provider" '{user: $user, provider: $provider, accessToken: .data.access_token}
    + if .data.expire_time then {expiresIn: ([1, ((.data.expire_time | sub("\\.[0-9]+"; "") | fromdate) - now | floor)] | max)} else {} end' <<<"$answer"
done
