package jobs

// KindRevokeUser works on a slice of revoking all that a user granted.
const KindRevokeUser = "job:revoke_user"

// RevokeUser names the job that took the user's authorizations.
type RevokeUser struct {
	JobID string `json:"jobId"`
	Ring  int64  `json:"ring"`
}

// NewRevokeUserTask makes the task of one slice.
func NewRevokeUserTask(p RevokeUser) Task {
	return newTask(KindRevokeUser, QueueSlices, p.JobID, p.Ring, p)
}

// ParseRevokeUser reads the payload of a KindRevokeUser task.
func ParseRevokeUser(payload []byte) (RevokeUser, error) {
	return parse(KindRevokeUser, payload, func(p RevokeUser) string { return p.JobID })
}
