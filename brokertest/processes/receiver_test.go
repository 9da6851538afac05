package processes_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/grantd/grantd/models"
)

// receiver is a program that events are sent to.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	gate    chan struct{} // while it is open, what comes waits; nil = nothing waits
	waiting int
	events  []models.EventBody // what was accepted, in order
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	t.Cleanup(r.release)
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var e models.EventBody
	if err := json.NewDecoder(request.Body).Decode(&e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	gate := r.gate
	if e.Type == models.EventTest {
		gate = nil
	}
	if gate != nil {
		r.waiting++
	}
	r.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-request.Context().Done(): // on a slow machine the sender gives up, and tries again
			r.mu.Lock()
			r.waiting--
			r.mu.Unlock()
		}
		panic(http.ErrAbortHandler) // the process that sent it is gone
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate = make(chan struct{})
}

func (r *receiver) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gate != nil {
		close(r.gate)
		r.gate = nil
	}
}

// held is how many events wait for the release.
func (r *receiver) held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting
}

func (r *receiver) accepted(of models.EventType) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Type == of {
			n++
		}
	}
	return n
}

// inOrder fails unless each authorization's events came in this order, all of them and no others; the same one may have come
// again before the next.
func (r *receiver) inOrder(t *testing.T, ids []string, want ...models.EventType) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	of := map[string][]models.EventType{}
	for _, e := range r.events {
		if id := e.Data.AuthorizationID; id != "" {
			of[id] = append(of[id], e.Type)
		}
	}
	if len(of) != len(ids) {
		t.Errorf("events of %d authorizations came, want %d", len(of), len(ids))
	}
	for _, id := range ids {
		if got := slices.Compact(of[id]); !slices.Equal(got, want) {
			t.Errorf("%s was told %v, want %v", id, got, want)
		}
	}
}
