package models

import "time"

// AuditEvent says who did what to which thing: ids and codes only (H2).
type AuditEvent struct {
	ID              string    `gorm:"primaryKey" json:"id"`
	OrgID           string    `json:"-"`
	At              time.Time `json:"at"`
	UserID          string    `json:"userId"`
	Actor           string    `json:"actor"` // the service that did it for UserID, "" where users acted for themselves
	TokenID         string    `json:"tokenId"`
	Action          Action    `json:"action"`
	ProviderID      string    `json:"providerId"`
	AuthorizationID string    `json:"authorizationId"`
	JobID           string    `json:"jobId"`
	Code            string    `json:"code"`
}

// Action is what happened.
type Action string

// The actions.
const (
	ActionProviderCreated      Action = "provider.created"
	ActionProviderChanged      Action = "provider.changed"
	ActionProviderDeleteAsked  Action = "provider.delete_asked"
	ActionProviderDeleted      Action = "provider.deleted"
	ActionSecretRefused        Action = "provider.secret_refused"
	ActionFormerSecretEnded    Action = "provider.former_secret_ended"
	ActionFlowFailed           Action = "flow.failed"
	ActionAuthorizationMade    Action = "authorization.made"
	ActionAuthorizationRenewed Action = "authorization.renewed"
	ActionAuthorizationUnlink  Action = "authorization.unlinked"
	ActionRefreshed            Action = "token.refreshed"
	ActionRefreshFailed        Action = "token.refresh_failed"
	ActionTokenRejected        Action = "token.dead"
	ActionTroubleBegun         Action = "provider.trouble_begun"
	ActionTroubleEnded         Action = "provider.trouble_ended"
	ActionIdentityMismatch     Action = "authorization.identity_mismatch"
	ActionResetAsked           Action = "token.reset_asked"
	ActionReset                Action = "token.reset"
	ActionTokenRevokeAsked     Action = "token.revoke_asked"
	ActionTokenRevoked         Action = "token.revoked"
	ActionRevoked              Action = "authorization.revoked"
	ActionJobCreated           Action = "job.created"
	ActionTokenCreated         Action = "api_token.created"
	ActionTokenEnded           Action = "api_token.revoked"
	ActionConnectLinkMade      Action = "connect_link.made"
	ActionConnectLinkEnded     Action = "connect_link.ended" // without a connection
	ActionWebhookCreated       Action = "webhook.created"
	ActionWebhookChanged       Action = "webhook.changed"
	ActionWebhookDeleted       Action = "webhook.deleted"
	ActionWebhookRotated       Action = "webhook.secret_rotated"
	ActionWebhookTested        Action = "webhook.test_sent"
	ActionWebhookReplayed      Action = "webhook.replayed"
	ActionWebhookOff           Action = "webhook.switched_off" // by grantd
	ActionSignedIn             Action = "session.begun"
	ActionSignedOut            Action = "session.ended"
	ActionKeyAdded             Action = "keyset.key_added"
	ActionKeyPromoted          Action = "keyset.key_promoted"
	ActionKeyRemoved           Action = "keyset.key_removed"
	ActionResealed             Action = "keyset.resealed"
	ActionKeysetSealed         Action = "keyset.sealed"
	ActionKeysetUnsealed       Action = "keyset.unsealed"
)

// Actions are all of them.
var Actions = []Action{
	ActionProviderCreated,
	ActionProviderChanged,
	ActionProviderDeleteAsked,
	ActionProviderDeleted,
	ActionSecretRefused,
	ActionFormerSecretEnded,
	ActionFlowFailed,
	ActionAuthorizationMade,
	ActionAuthorizationRenewed,
	ActionAuthorizationUnlink,
	ActionRefreshed,
	ActionRefreshFailed,
	ActionTokenRejected,
	ActionTroubleBegun,
	ActionTroubleEnded,
	ActionIdentityMismatch,
	ActionResetAsked,
	ActionReset,
	ActionTokenRevokeAsked,
	ActionTokenRevoked,
	ActionRevoked,
	ActionJobCreated,
	ActionTokenCreated,
	ActionTokenEnded,
	ActionConnectLinkMade,
	ActionConnectLinkEnded,
	ActionWebhookCreated,
	ActionWebhookChanged,
	ActionWebhookDeleted,
	ActionWebhookRotated,
	ActionWebhookTested,
	ActionWebhookReplayed,
	ActionWebhookOff,
	ActionSignedIn,
	ActionSignedOut,
	ActionKeyAdded,
	ActionKeyPromoted,
	ActionKeyRemoved,
	ActionResealed,
	ActionKeysetSealed,
	ActionKeysetUnsealed,
}
