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
		NewDeleteProviderTask(DeleteProvider{JobID: "j1", Ring: 7}),
		NewStatsTask(Stats{JobID: "j2", Ring: 1}),
		NewRevokeTask(Revoke{AuthorizationID: "a1", Ring: 3}),
		NewResetProviderTask(ResetProvider{JobID: "j3", Ring: 2}),
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
	d, err := ParseDeleteProvider([]byte(`{"jobId":"j1","ring":7,"added":"later"}`))
	if err != nil || d != (DeleteProvider{JobID: "j1", Ring: 7}) {
		t.Errorf("%+v, %v", d, err)
	}
	s, err := ParseStats(NewStatsTask(Stats{JobID: "j2", Ring: 1}).Payload)
	if err != nil || s != (Stats{JobID: "j2", Ring: 1}) {
		t.Errorf("%+v, %v", s, err)
	}
	r, err := ParseRevoke(NewRevokeTask(Revoke{AuthorizationID: "a1", Ring: 3}).Payload)
	if err != nil || r != (Revoke{AuthorizationID: "a1", Ring: 3}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBadPayloadsAreRefused(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"", "null", "{}", `{"ring":1}`, `{"jobId":7}`, `"j1"`, `{"jobId":"j1","ring":"x"}`} {
		_, d := ParseDeleteProvider([]byte(payload))
		_, s := ParseStats([]byte(payload))
		_, r := ParseRevoke([]byte(payload))
		for kind, err := range map[string]error{KindDeleteProvider: d, KindStats: s, KindRevoke: r} {
			if err == nil || !strings.Contains(err.Error(), kind) {
				t.Errorf("%s %q: %v", kind, payload, err)
			}
		}
	}
}
