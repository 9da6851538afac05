package jobs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The names and payloads are a contract between releases: during a deploy old
// workers meet new tasks.
func TestTasks(t *testing.T) {
	t.Parallel()
	got := []Task{
		DeleteProvider.Task(JobRing{JobID: "j1", Ring: 7}),
		Stats.Task(JobRing{JobID: "j2", Ring: 1}),
		Revoke.Task(AuthorizationRing{AuthorizationID: "a1", Ring: 3}),
		ResetProvider.Task(JobRing{JobID: "j3", Ring: 2}),
	}
	want := []Task{
		{Kind: "job:delete_provider", Queue: "slices", ID: "j1:7", Payload: []byte(`{"jobId":"j1","ring":7}`)},
		{Kind: "job:stats", Queue: "default", ID: "j2:1", Payload: []byte(`{"jobId":"j2","ring":1}`)},
		{Kind: "authorization:revoke", Queue: "default", ID: "a1:3", Payload: []byte(`{"authorizationId":"a1","ring":3}`)},
		{Kind: "job:reset_provider", Queue: "slices", ID: "j3:2", Payload: []byte(`{"jobId":"j3","ring":2}`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, task := range got {
		if Queues[task.Queue] == 0 {
			t.Errorf("no worker listens to the queue of %s", task.Kind)
		}
	}
}

func TestPayloadsComeBack(t *testing.T) {
	t.Parallel()
	d, err := DeleteProvider.Parse([]byte(`{"jobId":"j1","ring":7,"added":"later"}`))
	if err != nil || d != (JobRing{JobID: "j1", Ring: 7}) {
		t.Errorf("%+v, %v", d, err)
	}
	s, err := Stats.Parse(Stats.Task(JobRing{JobID: "j2", Ring: 1}).Payload)
	if err != nil || s != (JobRing{JobID: "j2", Ring: 1}) {
		t.Errorf("%+v, %v", s, err)
	}
	r, err := Revoke.Parse(Revoke.Task(AuthorizationRing{AuthorizationID: "a1", Ring: 3}).Payload)
	if err != nil || r != (AuthorizationRing{AuthorizationID: "a1", Ring: 3}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBadPayloadsAreRefused(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"", "null", "{}", `{"ring":1}`, `{"jobId":7}`, `"j1"`, `{"jobId":"j1","ring":"x"}`} {
		_, d := DeleteProvider.Parse([]byte(payload))
		_, s := Stats.Parse([]byte(payload))
		_, r := Revoke.Parse([]byte(payload))
		for kind, err := range map[string]error{DeleteProvider.Name: d, Stats.Name: s, Revoke.Name: r} {
			if err == nil || !strings.Contains(err.Error(), kind) {
				t.Errorf("%s %q: %v", kind, payload, err)
			}
		}
	}
}
