package jobs

// KindRevoke revokes a single authorization that was disconnected.
const KindRevoke = "authorization:revoke"

// Revoke names the authorization, which is unusable already.
type Revoke struct {
	AuthorizationID string `json:"authorizationId"`
	Ring            int64  `json:"ring"`
}

// NewRevokeTask makes the task of one attempt.
func NewRevokeTask(p Revoke) Task {
	return newTask(KindRevoke, QueueDefault, p.AuthorizationID, p.Ring, p)
}

// ParseRevoke reads the payload of a KindRevoke task.
func ParseRevoke(payload []byte) (Revoke, error) {
	return parse(KindRevoke, payload, func(p Revoke) string { return p.AuthorizationID })
}
