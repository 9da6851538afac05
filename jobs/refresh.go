package jobs

// KindRefresh refreshes the tokens of a single authorization before anybody asks.
const KindRefresh = "authorization:refresh"

// Refresh names the authorization.
type Refresh struct {
	AuthorizationID string `json:"authorizationId"`
	Ring            int64  `json:"ring"`
}

// NewRefreshTask makes the task of one attempt.
func NewRefreshTask(p Refresh) Task {
	return newTask(KindRefresh, QueueDefault, p.AuthorizationID, p.Ring, p)
}

// ParseRefresh reads the payload of a KindRefresh task.
func ParseRefresh(payload []byte) (Refresh, error) {
	return parse(KindRefresh, payload, func(p Refresh) string { return p.AuthorizationID })
}
