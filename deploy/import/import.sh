#!/usr/bin/env bash
# Imports tokens of consents that were given elsewhere. Reads one JSON object from each line,
#
#   {"user": "ada", "provider": "github", "refreshToken": "…"}
#   {"user": "ada", "provider": "github", "accessToken": "…", "expiresIn": 3600}
#
# where provider is the slug or the id of a provider of the same OAuth client, and prints one line for each: ok or failed, user,
# provider, and the authorization's id or what is wrong. It ends with 1 if something failed. Tokens are neither printed nor passed
# as arguments, which others on the machine could read. What was imported within ten minutes is not imported twice.
#
# GRANTD_URL is where grantd is reached, GRANTD_TOKEN an API token of the role service. Needs bash, curl and jq.
set -euo pipefail
api=${GRANTD_URL:?set GRANTD_URL, such as https://grantd.example.com}/api/v2/externalOAuth
: "${GRANTD_TOKEN:?set GRANTD_TOKEN to an API token of the role service}"

# call sends a request; its body, if any, comes on standard input. It prints the body of the answer and, on the last line, status and Retry-After.
call() {
  curl --silent --show-error --max-time 60 --header @<(printf 'Authorization: Bearer %s' "$GRANTD_TOKEN") --header 'Content-Type: application/json' \
    --write-out '\n%{http_code} %header{retry-after}' "$@"
}

providers='{}' next="$api/providers/?limit=100"
while [ -n "$next" ]; do
  answer=$(call "$next")
  if [[ ${answer##*$'\n'} != 200* ]]; then echo "listing the providers: ${answer%$'\n'*}" >&2; exit 2; fi
  page=${answer%$'\n'*}
  providers=$(jq -c --argjson known "$providers" '$known + ([.data[] | {(.slug): .id, (.id): .id}] | add // {})' <<<"$page")
  next=$(jq -r '.next // ""' <<<"$page")
done

failed=0
while IFS= read -r line || [ -n "$line" ]; do # the last line may lack its end
  [ -n "$line" ] || continue
  user=$(jq -r .user <<<"$line") provider=$(jq -r .provider <<<"$line")
  id=$(jq -r --arg name "$provider" '.[$name] // ""' <<<"$providers")
  if [ -z "$id" ]; then
    printf 'failed\t%s\t%s\t%s\n' "$user" "$provider" "grantd has no such provider, or the API token is not for it"
    failed=1
    continue
  fi
  at="$api/authorizedProviders/import/?userId=$(jq -rn --arg user "$user" '$user | @uri')"
  for try in 1 2 3 4 5; do
    answer=$(jq -c --arg id "$id" '{providerId: $id} + (if .refreshToken then {refreshToken} else {accessToken} + (if .expiresIn then {expiresIn} else {} end) end)' <<<"$line" |
      call --data-binary @- "$at") || answer=$'{}\n000 '
    read -r status wait <<<"${answer##*$'\n'}"
    case $status in
      000 | 429 | 502 | 503 | 504) [ "$try" = 5 ] || sleep "${wait:-5}" ;; # the same import may be sent again
      *) break ;;
    esac
  done
  if [ "$status" = 200 ]; then
    printf 'ok\t%s\t%s\t%s\n' "$user" "$provider" "$(jq -r .authorizedProvider.id <<<"${answer%$'\n'*}")"
  else
    printf 'failed\t%s\t%s\t%s\n' "$user" "$provider" "$(jq -r '[.message, .detail] | map(strings) | join(" ")' <<<"${answer%$'\n'*}" 2>/dev/null || true) ($status)"
    failed=1
  fi
done
exit $failed
