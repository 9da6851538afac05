package api

import "net/http"

const (
	forbidden  = http.StatusForbidden
	notFound   = http.StatusNotFound
	conflict   = http.StatusConflict
	gone       = http.StatusGone
	badGateway = http.StatusBadGateway
	badRequest = http.StatusBadRequest
	noService  = http.StatusServiceUnavailable
)

// routes is the whole surface. The first paths are below /api/v2/externalOAuth/ and
// work without their last slash too; those of external-auth are below /api/v2 and
// work without that as well.
func (s *Server) routes() {
	on(s, operation{"GET", "providers/", 200, "listProviders", "List the providers", nil}, s.listProviders)
	on(s, operation{"POST", "providers/", 201, "createProvider", "Register a provider", []int{forbidden, conflict}}, s.createProvider)
	on(s, operation{"GET", "providers/{id}/", 200, "getProvider", "Get a provider", []int{notFound}}, s.getProvider)
	on(s, operation{"PATCH", "providers/{id}/", 200, "updateProvider", "Change a provider", []int{forbidden, notFound, conflict}}, s.updateProvider)
	on(s, operation{"DELETE", "providers/{id}/", 202, "deleteProvider", "Delete a provider and revoke its authorizations", []int{forbidden, notFound}}, s.deleteProvider)
	on(s, operation{"POST", "providers/{id}/reset/", 202, "resetProvider", "Replace the access tokens of all its authorizations", []int{forbidden, notFound, conflict}}, s.resetProvider)

	on(s, operation{"POST", "providers/{id}/authorize/", 200, "authorize", "Begin a consent", []int{notFound, conflict, badGateway}}, s.authorize)
	on(s, operation{"POST", "providers/callback/", 200, "callback", "Complete a consent", []int{badRequest, notFound, badGateway}}, s.callback)
	on(s, operation{"POST", "providers/{id}/device/", 201, "beginDevice", "Begin a consent on another device", []int{notFound, conflict, badGateway}}, s.beginDevice)
	on(s, operation{"POST", "providers/{id}/device/poll/", 200, "pollDevice", "Complete a consent on another device", []int{badRequest, notFound, conflict, badGateway}}, s.pollDevice)

	on(s, operation{"GET", "authorizedProviders/", 200, "listAuthorizations", "List the authorizations", nil}, s.listAuthorizations)
	on(s, operation{"GET", "authorizedProviders/{id}/", 200, "getAuthorization", "Get an authorization", []int{notFound}}, s.getAuthorization)
	on(s, operation{"DELETE", "authorizedProviders/", 202, "revokeUser", "Revoke everything of a user who leaves", []int{forbidden}}, s.revokeUser)
	on(s, operation{"DELETE", "authorizedProviders/{id}/", 204, "deleteAuthorization", "Disconnect: delete and revoke an authorization", []int{notFound}}, s.deleteAuthorization)
	on(s, operation{"POST", "authorizedProviders/{id}/token/", 201, "getToken", "Get an access token", []int{forbidden, notFound, gone, badGateway}}, s.token)
	on(s, operation{"POST", "authorizedProviders/{id}/accessToken/", 201, "getAccessToken", "Get an access token (the same operation as token/)", []int{forbidden, notFound, gone, badGateway}}, s.token)
	on(s, operation{"POST", "authorizedProviders/import/", 200, "importToken", "Take in a token of a consent that was given elsewhere", []int{badRequest, notFound, conflict, badGateway}}, s.importToken)
	on(s, operation{"GET", "authorizedProviders/{id}/userinfo/", 200, "getUserInfo", "Ask the provider who authorized", []int{forbidden, notFound, gone, badGateway}}, s.userInfo)
	s.documentTokens()
	on(s, operation{"POST", "authorizedProviders/{id}/check/", 200, "checkToken", "Ask the provider whether the access token is good", []int{forbidden, notFound, badGateway}}, s.checkToken)
	on(s, operation{"POST", "authorizedProviders/{id}/reset/", 201, "resetToken", "Replace the access token", []int{forbidden, notFound, gone, badGateway}}, s.resetToken)
	on(s, operation{"DELETE", "authorizedProviders/{id}/token/", 200, "revokeToken", "Revoke the access token", []int{forbidden, notFound, conflict, badGateway}}, s.revokeToken)

	on(s, operation{"POST", "connectLinks/", 201, "createConnectLink", "Make a link for a person to connect an account", []int{forbidden, notFound, conflict}}, s.createConnectLink)
	on(s, operation{"GET", "connectLinks/", 200, "listConnectLinks", "List the connect links", []int{forbidden}}, s.listConnectLinks)
	on(s, operation{"GET", "connectLinks/{id}/", 200, "getConnectLink", "See how far a connect link has come", []int{forbidden, notFound}}, s.getConnectLink)
	on(s, operation{"DELETE", "connectLinks/{id}/", 204, "withdrawConnectLink", "Take a connect link back", []int{forbidden, notFound, conflict}}, s.withdrawConnectLink)
	on(s, operation{"POST", "connectLinks/{id}/confirm/", 200, "confirmConnectLink", "Confirm who came back from a connect link", []int{badRequest, forbidden, notFound, conflict, gone, badGateway}}, s.confirmConnectLink)

	on(s, operation{"POST", "jobs/", 202, "startJob", "Start a job", []int{forbidden}}, s.startJob)
	on(s, operation{"GET", "jobs/", 200, "listJobs", "List the jobs", []int{forbidden}}, s.listJobs)
	on(s, operation{"GET", "jobs/{id}/", 200, "getJob", "See how a job is doing", []int{notFound}}, s.getJob)
	on(s, operation{"GET", "jobs/{id}/items/", 200, "listJobItems", "List what a job did about each authorization", []int{notFound}}, s.listJobItems)
	on(s, operation{"GET", "jobs/{id}/events/", 200, "watchJob", "Follow a job", []int{notFound}}, s.watchJob)
	s.documentEvents()

	on(s, operation{"GET", "webhooks/", 200, "listWebhooks", "List the webhooks", []int{forbidden}}, s.listWebhooks)
	on(s, operation{"POST", "webhooks/", 201, "createWebhook", "Make a webhook", []int{forbidden, conflict}}, s.createWebhook)
	on(s, operation{"GET", "webhooks/{id}/", 200, "getWebhook", "Get a webhook, without its secret", []int{forbidden, notFound}}, s.getWebhook)
	on(s, operation{"PATCH", "webhooks/{id}/", 200, "updateWebhook", "Change a webhook", []int{forbidden, notFound}}, s.updateWebhook)
	on(s, operation{"DELETE", "webhooks/{id}/", 204, "deleteWebhook", "Delete a webhook", []int{forbidden, notFound}}, s.deleteWebhook)
	on(s, operation{"POST", "webhooks/{id}/rotate/", 201, "rotateWebhook", "Give a webhook a new secret", []int{forbidden, notFound}}, s.rotateWebhook)
	on(s, operation{"POST", "webhooks/{id}/test/", 204, "testWebhook", "Send a test event", []int{forbidden, notFound, conflict}}, s.testWebhook)
	on(s, operation{"GET", "webhooks/{id}/deliveries/", 200, "listDeliveries", "List what was sent to a webhook, and what waits", []int{forbidden, notFound}}, s.listDeliveries)
	on(s, operation{"POST", "webhooks/{id}/deliveries/{delivery}/replay/", 201, "replayDelivery", "Deliver an event again", []int{forbidden, notFound, conflict}}, s.replayDelivery)
	on(s, operation{"GET", "events/", 200, "followEvents", "Follow the events", []int{forbidden, gone}}, s.followEvents)
	s.documentFollowing()

	on(s, operation{"GET", "me/", 200, "getMe", "See who the caller is", nil}, s.me)
	on(s, operation{"GET", "sessions/", 200, "listSessions", "List who is signed in to the pages", []int{forbidden}}, s.listSessions)
	on(s, operation{"DELETE", "sessions/", 204, "endSessions", "Sign a user out of every browser", []int{forbidden}}, s.endSessions)
	on(s, operation{"DELETE", "sessions/{id}/", 204, "endSession", "Sign a user out of one browser", []int{forbidden, notFound}}, s.endSession)
	on(s, operation{"GET", "apiTokens/", 200, "listApiTokens", "List the API tokens", []int{forbidden}}, s.listAPITokens)
	on(s, operation{"POST", "apiTokens/", 201, "createApiToken", "Make an API token", []int{forbidden}}, s.createAPIToken)
	on(s, operation{"GET", "apiTokens/{id}/", 200, "getApiToken", "Get an API token, without the token itself", []int{forbidden, notFound}}, s.getAPIToken)
	on(s, operation{"DELETE", "apiTokens/{id}/", 204, "revokeApiToken", "Revoke an API token", []int{forbidden, notFound}}, s.revokeAPIToken)
	on(s, operation{"GET", "statistics/", 200, "listStatistics", "See what was counted of each day", []int{forbidden}}, s.listStatistics)
	on(s, operation{"GET", "audit/", 200, "listAudit", "Read the audit trail", []int{forbidden}}, s.listAudit)
	on(s, operation{"GET", "audit/export/", 200, "exportAudit", "Read the audit trail as JSON lines", []int{forbidden}}, s.exportAudit)
	s.documentAuditExport()

	external(s, operation{"GET", "/external-auth", 200, "listExternalAuths", "List what can be connected and what is", nil}, s.listExternalAuths)
	external(s, operation{"GET", "/external-auth/{externalauth}", 200, "getExternalAuth", "See what is connected at a provider", []int{notFound}}, s.getExternalAuth)
	external(s, operation{"DELETE", "/external-auth/{externalauth}", 200, "deleteExternalAuth", "Disconnect what is connected at a provider", []int{notFound}}, s.deleteExternalAuth)
	external(s, operation{"GET", "/external-auth/{externalauth}/device", 200, "beginExternalDevice", "Begin a consent on another device", []int{badRequest, notFound, badGateway}}, s.beginExternalDevice)
	external(s, operation{"POST", "/external-auth/{externalauth}/device", 204, "pollExternalDevice", "Ask whether the person has consented on the other device", []int{badRequest, notFound, badGateway}}, s.pollExternalDevice)
	external(s, operation{"GET", agentPath, 200, "getAgentToken", "Get a token for git", []int{badRequest, notFound, conflict, badGateway}}, s.agentToken)

	open(s, operation{"GET", "/healthz", 200, "healthz", "Is the process alive?", nil}, s.healthz)
	open(s, operation{"GET", "/readyz", 200, "readyz", "Can requests be served?", []int{noService}}, s.readyz)

	s.pages.Mount(s.echo, version2)
	s.console.Mount(s.echo)
	s.mountOAuth()
	s.echo.GET(documentPath, s.serveDocument)
}
