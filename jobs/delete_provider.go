package jobs

// KindDeleteProvider works on a slice of a provider's deletion.
const KindDeleteProvider = "job:delete_provider"

// DeleteProvider names the deletion's job. Several tasks of one job run at the
// same time, each with a ring and a slice of its own.
type DeleteProvider struct {
	JobID string `json:"jobId"`
	Ring  int64  `json:"ring"`
}

// NewDeleteProviderTask makes the task of one slice.
func NewDeleteProviderTask(p DeleteProvider) Task {
	return newTask(KindDeleteProvider, QueueSlices, p.JobID, p.Ring, p)
}

// ParseDeleteProvider reads the payload of a KindDeleteProvider task.
func ParseDeleteProvider(payload []byte) (DeleteProvider, error) {
	return parse(KindDeleteProvider, payload, func(p DeleteProvider) string { return p.JobID })
}
