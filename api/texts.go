package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// about opens the document.
const about = `grantd keeps OAuth authorizations: an admin registers a provider, a person consents, a service fetches access tokens, and when a provider is deleted, every authorization of it is revoked.

## The first token

1. An operator makes two API tokens, $ADMIN with the role admin and $APP with the role user: ` + "`grantd token create`" + `.
2. The admin registers the OAuth client that is registered at the provider, and gets its id: ` + "`curl $URL/api/v2/externalOAuth/providers/ -H \"Authorization: Bearer $ADMIN\" --json '{\"name\": \"GitHub\", \"type\": \"github\", \"clientId\": \"…\", \"clientSecret\": \"…\"}'`" + `
3. The person opens $URL` + "`/external-auth/{id}/callback`" + ` in a browser and consents. (Apps with pages of their own call ` + "`POST providers/{id}/authorize/`" + ` and ` + "`POST providers/callback/`" + ` instead, or send the person to a connect link.)
4. The app looks up the authorization: ` + "`curl $URL/api/v2/externalOAuth/authorizedProviders/ -H \"Authorization: Bearer $APP\"`" + `
5. From then on ` + "`POST authorizedProviders/{id}/token/`" + ` answers with a working access token, which is refreshed when it is due: ` + "`curl -X POST $URL/api/v2/externalOAuth/authorizedProviders/{id}/token/ -H \"Authorization: Bearer $APP\"`" + `

## For everything

A backend that acts for many people has an API token of the role service, limited to providers: it names the person in the query parameter userId of each request about consents and authorizations. To an API token that is limited to providers, other providers do not exist (404), and operations on the whole organisation are refused (403).

Every path works with and without its last slash. Every answer has an X-Request-Id, the caller's own if it sent one. Every error has the body Error, whose message is written for people. Unknown fields are refused, unknown query parameters are ignored, and an empty query parameter counts as absent.`

// tags are the first segments of the paths, in the order in which they are used.
var tags = []*huma.Tag{
	{Name: "providers", Description: "OAuth clients that an organisation registered at providers, and the consents that are given to them."},
	{Name: "authorizedProviders", Description: "What people authorized, and the resulting tokens."},
	{Name: "connectLinks", Description: "Addresses that an app sends people to, who connect an account there."},
	{Name: "external-auth", Description: "The same providers and authorizations as one user sees them, in the format of the Coder external-auth API: one link per provider, which is the authorization that was consented to last. Every path below /api/v2/external-auth works without /api/v2 too."},
	{Name: "jobs", Description: "Work that goes on after its request was answered."},
	{Name: "webhooks", Description: "Addresses that an organisation is told events at. What is sent, and how to verify it, is in docs/webhooks.md."},
	{Name: "events", Description: "The same events as a stream."},
	{Name: "me", Description: "Who a caller of this API is."},
	{Name: "apiTokens", Description: "What callers of this API authenticate with."},
	{Name: "sessions", Description: "Who is signed in to the pages, in which browser."},
	{Name: "audit", Description: "What was changed, by whom and when."},
	{Name: "statistics", Description: "What was counted of each day."},
	{Name: "service", Description: "For probes. No token is needed."},
}

// descriptions say of an operation what its summary leaves open.
var descriptions = map[string]string{
	"listProviders":       "The organisation's providers. Filters never fail: if nothing matches, the list is empty. Providers that are being deleted are left out unless asked for by id.",
	"createProvider":      "For admins. The provider is not called: a wrong client id or secret is noticed at the first consent.",
	"getProvider":         "Also answers while the provider is being deleted.",
	"updateProvider":      "For admins. Absent and null fields stay as they are; lists and objects are replaced as a whole.",
	"deleteProvider":      "For admins. The provider and its authorizations are unusable at once; a job revokes every authorization at the provider, and then removes the remaining data here. Another DELETE while the job runs returns the same job; after ERROR it resumes the deletion.",
	"revokeUser":          "For admins. Everything that the user authorized within the organisation is unusable at once; a job of type REVOKE_USER revokes it at the providers. What the user has under way ends too: open connect links, consents and device flows.",
	"authorize":           "Returns the address of the provider's consent page. Send the person there. A second consent does not end the first. The parameters are read from the query: a body with fields in it is 422.",
	"callback":            "Takes what the provider added to the address that the person returned to, and fetches the tokens. A state works once, for the user who began and for this provider.",
	"beginDevice":         "For people who consent on another device (RFC 8628), where an admin switched that on in the provider's config. Show them userCode and verificationUri, and poll.",
	"pollDevice":          "Answers like callback once the person has consented. Until then the answer is 400, and detail says why: authorization_pending and slow_down: poll again after Retry-After; access_denied; expired_token, also for a code that is unknown, used or another user's. Polling too early does no harm, because the provider is not asked.",
	"listAuthorizations":  "A user's own; for an admin, the whole organisation's; for a service, those of the user that it names. A status that does not exist is 422.",
	"getAuthorization":    "For the owner and for admins.",
	"deleteAuthorization": "It cannot be used from now on. Revocation at the provider is tried before the answer, and otherwise continues in the background.",
	"getToken":            "The token that works now, refreshed when it is about to expire. Only for the user who authorized, whatever the role.",
	"getAccessToken":      "The token that works now, refreshed when it is about to expire. Only for the user who authorized, whatever the role.",
	"getUserInfo":         "The provider is asked each time; nothing of its answer is stored.",
	"checkToken":          "For the owner and for admins; the answer contains no token. A token that the provider does not accept is no longer handed out: the next fetch refreshes it, or the status is expired. 502 says nothing about the token.",
	"resetToken":          "For the owner, who gets the new token, and for admins, who do not. With a refresh token this is a refresh, whether or not one is due; without one, the provider has to support replacing an access token (422 if it does not). After a 502, use check/ to find out which token works.",
	"revokeToken":         "For the owner and for admins. From now on the token is not handed out. If the provider supports it, the grant stays and the next fetch refreshes; otherwise the status is expired afterwards. 409 if only the whole grant can be revoked and another authorization depends on it; 422 if the provider does not support revocation. After a 502, send the request again.",
	"resetProvider":       "For admins. A job of type RESET_PROVIDER resets the token of every authorization that there is now, as reset/ does for one. Another request while the job runs returns the same job.",
	"importToken":         "Stores a token in an authorization of the caller, once the provider has confirmed that the token belongs to this client. A refresh token is refreshed, which spends it if the provider rotates refresh tokens. An access token is accepted only if the provider says whom it was issued to (422 if it does not). Sending the same import again within ten minutes returns its result.",
	"createConnectLink":   "For services and admins. Send the person to url, with a redirect or in a window of its own. The page says who asks and for what; after the consent the browser returns to returnUrl with link and result, or error. Nothing is connected before confirm/ has been called: the address could have been passed on to somebody else. With signIn the page wants the person signed in as userId instead, or with confirm: true as well.",
	"listConnectLinks":    "For services and admins. The newest first: of a service, those that it made; for an admin, those of the organisation. The addresses are not among them. Links are kept as long as consents are.",
	"getConnectLink":      "For those who made it, and for admins.",
	"withdrawConnectLink": "For those who made it, and for admins. What was consented to is revoked. One that has failed stays so; 409 once it is connected.",
	"confirmConnectLink":  "For the API token that the link was made with, and others of the same service. Take userId from the session that the browser has with you, never from the link. With another user than the link's it ends, and what was consented to is revoked (403); so it is where nothing comes within ten minutes of the consent (410). 400 changes nothing. The same call again has the same answer.",
	"startJob":            "For admins. STATS counts providers, authorizations and what happened in the last day; the counts are the job's details.",
	"listJobs":            "For admins. The newest first. A status that does not exist is 422; the other filters never fail. Details leave out the lists that a single job shows.",
	"getJob":              "For admins. Poll it until the status is COMPLETED or ERROR; with wait, the answer comes as soon as something changes.",
	"listJobItems":        "For admins. Ordered by authorization id; an item is listed once it is settled. An outcome that does not exist is 422. While the job runs, items that are settled behind the cursor are missed.",
	"watchJob":            "For admins. Server-sent events: progress whenever the job changes, end when it has ended or had already ended; then the stream closes. Lines that begin with a colon only keep the connection open. The stream also ends when the API token does, and when the instance stops: connect again. With Last-Event-ID, a state that the client has already seen is not sent again.",
	"listWebhooks":        "For admins. The oldest first.",
	"createWebhook":       "For admins. The address is sent a test event, and nothing else until it has answered that with a status of 2xx. The secret is in this answer only.",
	"getWebhook":          "For admins.",
	"updateWebhook":       "For admins. Absent and null fields stay as they are. A new address is sent a test event, and nothing else until it has accepted that. A webhook that was switched off is switched on with the status active; what waited is then sent.",
	"deleteWebhook":       "For admins. What waits to be delivered is deleted too.",
	"rotateWebhook":       "For admins. The new secret is in this answer only. For a day requests carry signatures of both; after a second rotation within that day, those of the last two.",
	"testWebhook":         "For admins. The event has the type webhook.test, and is listed among the deliveries. 409 while the webhook is off.",
	"listDeliveries":      "For admins. The newest first. Deliveries are kept for seven days. A status that does not exist is 422. Of an answer only the status is kept.",
	"replayDelivery":      "For admins. The event keeps its id and its sequence, and its body has replayed: true. It is delivered after what waits for the same connection.",
	"followEvents":        "For admins. Server-sent events: the event is named after its type, its id is the sequence, and its data is what webhooks are sent. With Last-Event-ID the stream goes on after that event; 410 once that is more than seven days ago. Lines that begin with a colon only keep the connection open. Events are written for an organisation that has a webhook, or that has followed its events within the last seven days.",
	"getMe":               "For everybody: the organisation, user, role and limits that the token of the request stands for, and when it ends. 401 if it is not accepted.",
	"listSessions":        "For admins. The newest first. Sessions that have ended, through disuse or by their time limit, are left out.",
	"endSession":          "For admins. The person is signed out at the next request of that browser.",
	"endSessions":         "For admins. The user is signed out at the next request, and consents that the user began in the pages end. API tokens are not affected.",
	"listApiTokens":       "For admins. The newest first, including expired and revoked ones; never the tokens themselves.",
	"createApiToken":      "For admins: a token of the role user for themselves, or for a machine, whose name begins with app- and which cannot sign in. Tokens for other people are made on the command line. The new token never has more rights than the API token of this request and expires no later; a token that is limited to providers cannot make others. The token is shown in this answer and never again.",
	"getApiToken":         "For admins.",
	"revokeApiToken":      "For admins. It takes effect at once in this process, and within ten seconds in the others. Tokens that were made with it stay valid, unless withMade is given. Revoking a token that has already ended changes nothing.",
	"listStatistics":      "For admins. One entry for each day of UTC of which something was counted, the oldest first: connections by state as they were counted last on that day, and how often tokens were made, refreshed, revoked and fetched. Counted every hour, and kept for GRANTD_KEEP_STATISTICS.",
	"listAudit":           "For admins. Who changed what and when, and what grantd did by itself: ids and codes only, the newest first. An action that does not exist is 422; the other filters never fail. Events are kept for GRANTD_KEEP_AUDIT. Token fetches are counted instead of being events.",
	"exportAudit":         "For admins. All events that the filters let through, each a line of JSON as in the list, the newest first, however many there are. An answer that breaks off is not complete: its connection ends with an error.",
	"listExternalAuths":   "The organisation's active providers, and the caller's links. No upstream is asked.",
	"getExternalAuth":     "The upstream is asked who the account is. An upstream that is throttled or down leaves the link authenticated as far as is known; one that rejects the token, after a refresh, does not.",
	"deleteExternalAuth":  "Removes all of the caller's authorizations at the provider. They cannot be used from now on, whatever the upstream answers; failed revocations are tried again in the background.",
	"beginExternalDevice": "Where an admin switched the device flow on in the provider's config; 400 elsewhere.",
	"pollExternalDevice":  "204 once the person has consented. Until then the answer is 400, and detail says why: authorization_pending and slow_down: ask again after Retry-After; access_denied; expired_token.",
	"getAgentToken":       "By id, or by match: the https URL of a repository, which must be in the place of exactly one provider (config.match, by default the provider's host). Without a link that works, only url is answered: where to connect in a browser.",
	"healthz":             "Answers as long as the process serves HTTP; nothing else is asked.",
	"readyz":              "503 names the parts that do not answer.",
}

// meanings say when an operation answers with an error.
var meanings = map[int]string{
	http.StatusBadRequest:            "The body is missing or not JSON; or the state or code cannot be used, or not yet.",
	http.StatusUnauthorized:          "The API token is missing, unknown, expired or revoked.",
	http.StatusForbidden:             "Not for this role, not for this user, or not while the provider is not active.",
	http.StatusNotFound:              "It does not exist, or this caller may not see it.",
	http.StatusRequestTimeout:        "The body did not arrive in time.",
	http.StatusConflict:              "The state or config of the provider does not allow it, the slug is taken, or somebody else's authorization would be revoked too.",
	http.StatusGone:                  "The authorization has expired: the person has to authorize again.",
	http.StatusRequestEntityTooLarge: "The body is larger than 1 MiB.",
	http.StatusUnsupportedMediaType:  "The body is not application/json.",
	http.StatusUnprocessableEntity:   "A field or parameter is wrong; errorFields names each.",
	http.StatusTooManyRequests:       "Too many requests.",
	http.StatusInternalServerError:   "An error in grantd. The log has the details under the requestId.",
	http.StatusBadGateway:            "The provider does not answer, or refuses the client.",
	http.StatusServiceUnavailable:    "The database or the keyset is not available.",
}

// fieldDocs describe the fields of the models that do not describe themselves.
var fieldDocs = map[string]map[string]string{
	"Authorization": {
		"userId":                "Who authorized.",
		"credentialId":          "Where the sealed tokens are stored.",
		"oauthClientId":         "The client id that the tokens were issued to.",
		"status":                "active; expired: authorize again; invalidOAuthClient: the provider refuses the client; invalidProviderState: the provider is not active.",
		"reason":                "Why it is expired: revoked_upstream, token_revoked, no_refresh_token, lost_response, identity_mismatch (the provider answered with another account's tokens), others that may be added, or the OAuth error code of the provider. Left out when it is not expired, and where the provider named no code.",
		"reasonMessage":         "The same as a sentence for people, with what to do. Left out when it is not expired.",
		"scopes":                "The scopes that were granted, or those requested if the provider does not say.",
		"missingScopes":         "Scopes that were requested but not granted.",
		"scopesCut":             "true where the provider named more scopes than are kept (256 of at most 256 bytes each), or some that are not valid by RFC 6749; otherwise left out.",
		"refreshTokenExpiresAt": "When the person has to authorize again at the latest; left out when unknown.",
		"account":               "Whose account at the provider it is. In lists and with a single authorization.",
		"expiresAt":             "When the access token ends; left out when unknown. In lists and with a single authorization.",
		"refreshedAt":           "When the tokens were saved last, by a consent or by a refresh. In lists and with a single authorization.",
		"lastFetchedAt":         "When a token was last fetched, exact to the minute; left out if that is longer ago than the audit trail is kept. In lists and with a single authorization.",
	},
	"AuthorizedAccount": {
		"sub":   "The provider's permanent id of the account.",
		"login": "The name that people know the account by; may be empty.",
		"email": "Empty when the provider gives none.",
	},
	"Job": {
		"type":       "DELETE_PROVIDER, RESET_PROVIDER, STATS and others.",
		"startedAt":  "null until it started.",
		"finishedAt": "null until it finished.",
		"details":    "Details of the job, by name.",
	},
	"Day": {
		"day":                  "The day, as its first moment in UTC.",
		"active":               "Connections that worked.",
		"expired":              "Connections whose person has to authorize again.",
		"invalidOAuthClient":   "Connections that waited because the provider refused the client.",
		"invalidProviderState": "Connections whose provider was switched off, being deleted, or another client.",
		"made":                 "Connections that were made.",
		"refreshed":            "Tokens that were refreshed.",
		"refreshFailed":        "Refreshes that failed.",
		"revoked":              "Connections that were revoked at the provider.",
		"fetched":              "Tokens that were fetched.",
	},
	"Days": {"data": "The days."},
	"AuditEvent": {
		"at":              "When it happened.",
		"userId":          "The user who did it, or for whom a service did it; empty if grantd did it by itself.",
		"actor":           "The service that did it for userId, or the admin who made or revoked an API token of that user; empty where users acted for themselves.",
		"tokenId":         "The API token that was used; empty if there was none.",
		"action":          "What happened, such as provider.changed or token.refreshed.",
		"providerId":      "The provider it is about, which may be gone; or empty.",
		"authorizationId": "The authorization it is about, which may be gone; or empty.",
		"jobId":           "The job it is about; or empty.",
		"code":            "A code for how it ended or what changed, such as an OAuth error code; or empty.",
	},
	"JobItem": {
		"authorizationId": "What was to be revoked or reset.",
		"userId":          "The user who had authorized.",
		"providerId":      "The provider it was given to, which may be gone.",
		"outcome":         "revoked; already_revoked; superseded: a newer consent to the same client is in use; no_live_token; unsupported: the provider has no revocation; failed; abandoned. Of a reset: reset; refreshed; expired: the person has to authorize again; impossible: no refresh token, and nothing that replaces an access token; gone; failed.",
		"reason":          "The reason, if there is one.",
		"settledAt":       "When it ended.",
	},
	"BrowserSession": {
		"userId":     "Who is signed in.",
		"role":       "admin or user, as determined at sign-in.",
		"issuer":     "The name of the issuer that the person signed in at; empty for an API token.",
		"apiTokenId": "The API token that the person signed in with, and that the session ends with; empty for an issuer.",
		"name":       "What the issuer calls the person; may be empty.",
		"address":    "Where the sign-in came from; may be empty.",
		"lastUsedAt": "When the person last opened a page, exact to the minute.",
		"expiresAt":  "When the session ends in any case.",
	},
	"User": {
		"sub":   "The provider's permanent id of the account.",
		"email": "Empty when the provider gives none.",
		"raw":   "What the provider answered.",
	},
}
