package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/api"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

func TestMain(m *testing.M) { brokertest.Main(m) }

const root = "/api/v2/externalOAuth/"

var ctx = context.Background()

// each runs a test in an instance in which jobs go on only where the test makes them.
func each(t *testing.T, f func(*testing.T, *brokertest.Instance)) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		f(t, brokertest.New(t, &brokertest.Options{Backend: b, WithoutWorker: true}))
	})
}

func newJob(t *testing.T, h *brokertest.Instance) string {
	t.Helper()
	j, err := h.Service.StartStats(ctx, h.Admin.Caller)
	if err != nil {
		t.Fatal(err)
	}
	return j.ID
}

func start(t *testing.T, h *brokertest.Instance, job string) {
	t.Helper()
	if started, err := h.Store.StartJob(ctx, job); !started || err != nil {
		t.Fatal("the job was not started", err)
	}
}

func finish(t *testing.T, h *brokertest.Instance, job string) {
	t.Helper()
	if ended, err := h.Store.FinishJob(ctx, job, models.JobCompleted, "", nil); !ended || err != nil {
		t.Fatal("the job was not finished", err)
	}
}

// TestWaitingIsNotTimed: a client that waits a minute for a job is no slow request.
func TestWaitingIsNotTimed(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		id := newJob(t, h)
		metricOf := func(route, name string) string {
			t.Helper()
			for s := follow(t, h.MetricsURL+"/metrics", h.Admin, nil); s.lines.Scan(); {
				if line := s.lines.Text(); strings.HasPrefix(line, name) && strings.Contains(line, route) {
					return line
				}
			}
			return ""
		}
		metric := func(name string) string { t.Helper(); return metricOf("/jobs/", name) }
		h.Do(t, h.Admin, "GET", root+"jobs/"+id+"/?wait=1ms", nil)
		start(t, h, id)
		finish(t, h, id)
		for s := follow(t, h.URL+root+"jobs/"+id+"/events/", h.Admin, nil); s.lines.Scan(); {
		}
		if got := metric("grantd_http_requests_total"); got == "" {
			t.Error("requests that wait are not counted")
		}
		if got := metric("grantd_http_request_duration_seconds_count"); got != "" {
			t.Errorf("requests that wait are timed: %s", got)
		}
		h.Do(t, h.Admin, "GET", root+"jobs/"+id+"/", nil)
		if got := metric("grantd_http_request_duration_seconds_count"); !strings.HasSuffix(got, " 1") {
			t.Errorf("of requests that do not wait the metrics say %q", got)
		}
		const agent = "/workspaceagents/me/external-auth"
		h.Do(t, h.Admin, "GET", "/api/v2"+agent+"?id=none&listen=true", nil)
		if got := metricOf(agent, "grantd_http_requests_total"); got == "" {
			t.Error("clients that listen are not counted")
		}
		if got := metricOf(agent, "grantd_http_request_duration_seconds_count"); got != "" {
			t.Errorf("clients that listen are timed: %s", got)
		}
	})
}

// stream is an open stream of events.
type stream struct {
	t     *testing.T
	res   *http.Response
	lines *bufio.Scanner
}

func follow(t *testing.T, url string, who brokertest.Person, header http.Header) *stream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+who.Token.Reveal())
	r.Header.Set("Accept", "text/event-stream")
	for name, values := range header {
		r.Header[name] = values
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return &stream{t, res, bufio.NewScanner(res.Body)}
}

// event is one of a stream; a comment has neither name nor id.
type event struct {
	name, id, comment string
	job               models.Job
}

// next reads one event, and reports false at the end of the stream.
func (s *stream) next() (event, bool) {
	s.t.Helper()
	var e event
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.job); err != nil {
				s.t.Errorf("the data is not a job: %v: %s", err, value)
			}
		case "":
			if value == "" {
				return e, true
			}
			e.comment = value
		}
	}
	return e, false
}

func (s *stream) want(name string, status models.JobStatus) event {
	s.t.Helper()
	e, ok := s.next()
	if !ok || e.name != name || e.job.Status != status || e.id == "" {
		s.t.Fatalf("got %+v, %v, want %s of a job %s", e, ok, name, status)
	}
	return e
}

func (s *stream) wantEnd() {
	s.t.Helper()
	if e, ok := s.next(); ok {
		s.t.Errorf("the stream goes on with %+v", e)
	}
}

func eventsOf(h *brokertest.Instance, job string) string {
	return h.URL + root + "jobs/" + job + "/events"
}

func TestAJobIsFollowedToItsEnd(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		id := newJob(t, h)
		s := follow(t, eventsOf(h, id), h.Admin, nil)
		for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
			if got := s.res.Header.Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}
		first := s.want("progress", models.JobPending)
		start(t, h, id)
		second := s.want("progress", models.JobRunning)
		if first.id == second.id || first.job.ID != id {
			t.Errorf("the events are %+v and %+v", first, second)
		}
		finish(t, h, id)
		s.want("end", models.JobCompleted)
		s.wantEnd()

		// And as the document says.
		if a := h.Do(t, h.Admin, "GET", root+"jobs/"+id+"/events/", nil); a.Status != 200 {
			t.Errorf("what has ended answers %d", a.Status)
		}
	})
}

// A client that was cut off says what it saw last.
func TestWhatIsKnownIsNotSentAgain(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		id := newJob(t, h)
		first := follow(t, eventsOf(h, id), h.Admin, nil).want("progress", models.JobPending)
		again := follow(t, eventsOf(h, id), h.Admin, http.Header{"Last-Event-Id": {first.id}})
		if e, ok := again.next(); !ok || e.comment == "" || e.name != "" {
			t.Errorf("what is known is answered with %+v", e)
		}
		finish(t, h, id)
		last := again.want("end", models.JobCompleted)
		follow(t, eventsOf(h, id), h.Admin, http.Header{"Last-Event-Id": {last.id}}).want("end", models.JobCompleted)
	})
}

func TestAStreamForNobodyIsNotOpened(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		id := newJob(t, h)
		for name, c := range map[string]struct {
			who    brokertest.Person
			job    string
			status int
		}{"a user": {h.User, id, 404}, "another organisation": {h.Other, id, 404}, "nobody": {brokertest.Person{}, id, 401}, "no job": {h.Admin, "none", 404}} {
			s := follow(t, eventsOf(h, c.job), c.who, nil)
			body, _ := io.ReadAll(s.res.Body)
			if s.res.StatusCode != c.status || s.res.Header.Get("Content-Type") != "application/json" || !strings.Contains(string(body), `"message"`) {
				t.Errorf("%s: got %d %s", name, s.res.StatusCode, body)
			}
		}
	})
}

// quick is a second API on an instance's service, whose streams show often that they
// are alive.
func quick(t *testing.T, h *brokertest.Instance) (*api.Server, string) {
	s := api.New(api.Options{Service: h.Service, PublicURL: h.URL, EventBeat: 10 * time.Millisecond})
	server := httptest.NewUnstartedServer(s)
	server.Config.WriteTimeout = 500 * time.Millisecond // as the command has one, but shorter than a stream
	server.Start()
	t.Cleanup(server.Close)
	return s, server.URL
}

func TestAStreamOutlivesTheServersLimitButNotItsToken(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		_, url := quick(t, h)
		boss := h.Person(t, "acme", "boss", models.RoleAdmin)
		id := newJob(t, h)
		s := follow(t, url+root+"jobs/"+id+"/events/", boss, nil)
		s.want("progress", models.JobPending)
		for range 100 { // beats of 10 ms are twice the limit
			if e, ok := s.next(); !ok || e.comment == "" {
				t.Fatalf("a silent stream ends with %+v", e)
			}
		}
		all, err := h.Service.APITokens(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range all {
			if token.UserID == "boss" && token.OrgID == "acme" {
				if _, err := h.Service.RevokeAPIToken(ctx, token.ID, false); err != nil {
					t.Fatal(err)
				}
			}
		}
		for e, ok := s.next(); ok; e, ok = s.next() {
			if e.comment == "" {
				t.Errorf("a revoked token is told %+v", e)
			}
		}
	})
}

func TestWhoWaitsDoesNotHoldUpADrain(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
	server, url := quick(t, h)
	id := newJob(t, h)
	s := follow(t, url+root+"jobs/"+id+"/events/", h.Admin, nil)
	s.want("progress", models.JobPending)
	answer := make(chan *stream)
	go func() { answer <- follow(t, url+root+"jobs/"+id+"/?wait=60", h.Admin, nil) }()
	server.Drain()
	for _, ok := s.next(); ok; _, ok = s.next() { // to its end
	}
	for _, waited := range []*stream{<-answer, follow(t, url+root+"jobs/"+id+"/?wait=60", h.Admin, nil)} {
		if waited.res.StatusCode != 200 {
			t.Errorf("who waits is answered with %d", waited.res.StatusCode)
		}
	}
	brokertest.Eventually(t, "nobody looks at the job", func() bool {
		stacks := make([]byte, 1<<20)
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*post).stand(")
	})
}

// Nor does a client that listens for a link that nobody makes.
func TestWhoListensDoesNotHoldUpADrain(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
	server, url := quick(t, h)
	ask := func() *stream {
		return follow(t, url+"/api/v2/workspaceagents/me/external-auth?listen=true&id="+h.Provider(t, "test").ID, h.User, nil)
	}
	answer := make(chan *stream)
	go func() { answer <- ask() }()
	brokertest.Eventually(t, "the client listens", func() bool { return strings.Contains(h.Log.String(), "a client listens for a link") })
	server.Drain()
	for _, listened := range []*stream{<-answer, ask()} {
		if listened.res.StatusCode != 404 {
			t.Errorf("who listens is answered with %d", listened.res.StatusCode)
		}
	}
}

func TestAJobAnswersWhenItChanges(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		id := newJob(t, h)
		start(t, h, id)
		done := make(chan brokertest.Answer)
		go func() { done <- h.Do(t, h.Admin, "GET", root+"jobs/"+id+"?wait=60", nil) }()
		var got *brokertest.Answer
		brokertest.Eventually(t, "the answer comes with a change", func() bool {
			if err := h.Store.AddToTotal(ctx, id, 1); err != nil { // the request may have come after the last one
				t.Fatal(err)
			}
			select {
			case a := <-done:
				got = &a
			default:
			}
			return got != nil
		})
		if got.Status != 200 || got.JSON(t)["status"] != "RUNNING" {
			t.Errorf("got %d %s", got.Status, got.Body)
		}
		still := h.Do(t, h.Admin, "GET", root+"jobs/"+id+"/?wait=1ms", nil)
		if still.Status != 200 || still.JSON(t)["status"] != "RUNNING" {
			t.Errorf("without a change: got %d %s", still.Status, still.Body)
		}
	})
}

func TestJobsAreListedOverTheWire(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		first, second := newJob(t, h), newJob(t, h)
		start(t, h, first)
		var ids []string
		for path := root + "jobs/?types=STATS,DELETE_PROVIDER&status=RUNNING&status=PENDING&limit=1"; path != ""; {
			a := h.Do(t, h.Admin, "GET", path, nil)
			page := a.JSON(t)
			if a.Status != 200 || page["count"] != 1.0 {
				t.Fatalf("got %d %s", a.Status, a.Body)
			}
			ids = append(ids, page["data"].([]any)[0].(map[string]any)["id"].(string))
			next, _ := page["next"].(string)
			path = strings.TrimPrefix(next, h.URL)
		}
		if len(ids) != 2 || ids[0] != second || ids[1] != first {
			t.Errorf("the pages hold %v, want %s and %s", ids, second, first)
		}
		for _, path := range []string{"jobs/?status=nonsense", "jobs/" + first + "/items/?outcome=nonsense&limit=1000"} {
			if a := h.Do(t, h.Admin, "GET", root+path, nil); a.Status != 422 {
				t.Errorf("%s: got %d %s", path, a.Status, a.Body)
			}
		}
		for _, path := range []string{"jobs/?cursor=nonsense", "jobs/" + first + "/items/?cursor=nonsense", "jobs/?limit=0", "jobs/" + first + "/?wait=2m"} {
			if a := h.Do(t, h.Admin, "GET", root+path, nil); a.Status != 422 {
				t.Errorf("%s: got %d %s", path, a.Status, a.Body)
			}
		}
	})
}
