package jobs

// KindResetProvider works on a slice of replacing all tokens of a provider.
const KindResetProvider = "job:reset_provider"

// ResetProvider names the job whose items are to be reset.
type ResetProvider struct {
	JobID string `json:"jobId"`
	Ring  int64  `json:"ring"`
}

// NewResetProviderTask makes the task of one slice.
func NewResetProviderTask(p ResetProvider) Task {
	return newTask(KindResetProvider, QueueSlices, p.JobID, p.Ring, p)
}

// ParseResetProvider reads the payload of a KindResetProvider task.
func ParseResetProvider(payload []byte) (ResetProvider, error) {
	return parse(KindResetProvider, payload, func(p ResetProvider) string { return p.JobID })
}
