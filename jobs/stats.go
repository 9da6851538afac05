package jobs

// KindStats counts an organisation's authorizations.
const KindStats = "job:stats"

// Stats names the job whose details receive the counts.
type Stats struct {
	JobID string `json:"jobId"`
	Ring  int64  `json:"ring"`
}

// NewStatsTask makes the task of one count.
func NewStatsTask(p Stats) Task {
	return newTask(KindStats, QueueDefault, p.JobID, p.Ring, p)
}

// ParseStats reads the payload of a KindStats task.
func ParseStats(payload []byte) (Stats, error) {
	return parse(KindStats, payload, func(p Stats) string { return p.JobID })
}
