package processes_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// Two of each share the work, once a worker before them was killed while it delivered events: none is lost, and each
// connection's events come in their order.
func TestTwoOfEachShareTheWork(t *testing.T) {
	c := newCluster(t, parallel(t), "")
	receiver := newReceiver(t)
	c.Env = append(c.Env, "GRANTD_WEBHOOK_ALLOW="+strings.TrimPrefix(receiver.URL, "http://"))
	one, other := c.start(t, "api"), c.start(t, "api")
	killed := c.start(t, "worker")
	_, err := c.client(one).CreateWebhook(t.Context(), client.NewWebhook{URL: receiver.URL})
	must(t, err)
	receiver.hold() // until the worker is gone
	provider, ids := c.provider(t, one, 20)
	eventually(t, "the worker delivers", func() bool { return receiver.held() > 0 })
	must(t, killed.Kill())
	receiver.release()
	c.start(t, "worker")
	c.start(t, "worker")
	for _, id := range ids {
		here, err := c.client(one).Token(t.Context(), id)
		must(t, err)
		there, err := c.client(other).Token(t.Context(), id)
		must(t, err)
		if here.AccessToken != there.AccessToken || here.AccessToken == "" {
			t.Errorf("two instances give different tokens for %s", id)
		}
	}
	location := c.delete(t, other, provider.ID)
	if _, err := c.client(one).Token(t.Context(), ids[0]); err == nil {
		t.Error("a provider that is being deleted still gives tokens")
	}
	c.completed(t, one, location, provider.ID, 20)
	// The killed one's leases end. What happened to these connections since has waited for that.
	c.query(t, func(conn *pgx.Conn) error {
		_, err := conn.Exec(t.Context(), "UPDATE webhook_deliveries SET due_at = now() WHERE due_at > now(); UPDATE webhooks SET next_at = now()")
		return err
	})
	eventually(t, "all events are delivered", func() bool {
		return receiver.accepted("job.finished") > 0 && c.count(t, "SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'") == 0
	})
	receiver.inOrder(t, ids, "connection.created", "connection.disconnected")
}

func TestR1TwoHundredCallersOnTwoInstancesShareOneRefresh(t *testing.T) {
	c := newCluster(t, parallel(t), "")
	instances := []*client.Client{c.client(c.start(t, "api")), c.client(c.start(t, "api"))}
	provider, err := processes.Provider(t.Context(), instances[0])
	must(t, err)
	a, err := processes.Consent(t.Context(), instances[0], provider.ID, "ada")
	must(t, err)
	old, err := instances[0].Token(t.Context(), a.ID)
	must(t, err)
	c.expire(t, a.ID)
	// Slow enough for everybody to arrive meanwhile.
	c.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, LatencyMS: 1000})

	var mu sync.Mutex
	tokens := map[models.Secret]int{}
	group, ctx := errgroup.WithContext(t.Context())
	for i := range 200 {
		group.Go(func() error {
			got, err := instances[i%2].Token(ctx, a.ID)
			mu.Lock()
			defer mu.Unlock()
			tokens[got.AccessToken]++
			return err
		})
	}
	must(t, group.Wait())
	if len(tokens) != 1 || tokens[old.AccessToken] > 0 {
		t.Errorf("200 callers got %d different tokens, the expired one %d times", len(tokens), tokens[old.AccessToken])
	}
	stats := c.Upstream.Stats()
	if stats.Calls[testidp.Refresh] != 1 || stats.RefreshReused != 0 {
		t.Errorf("the upstream was asked to refresh %d times, with a spent token %d times; want 1 and 0",
			stats.Calls[testidp.Refresh], stats.RefreshReused)
	}
}

func TestO1ADeletionSurvivesTheKillingOfTheOnlyWorker(t *testing.T) {
	const people = 2000
	c := newCluster(t, parallel(t), "")
	api, worker := c.start(t, "api"), c.start(t, "worker")
	provider, _ := c.provider(t, api, people)
	c.Upstream.Inject(testidp.Fault{Endpoint: testidp.Revoke, LatencyMS: 20})

	location := c.delete(t, api, provider.ID)
	eventually(t, "some authorizations are revoked", func() bool {
		job, err := c.client(api).Job(t.Context(), location)
		must(t, err)
		return number(t, job, string(models.OutcomeRevoked)) >= people/10
	})
	must(t, worker.Kill())
	if c.Upstream.Stats().LiveGrants == 0 {
		t.Fatal("the worker was done before it was killed: this shows nothing")
	}
	c.start(t, "worker")
	c.completed(t, api, location, provider.ID, people)
}

// An upstream that rotated the refresh token and answers slowly while we are told
// to stop: without waiting, the only token that still works would be lost.
func TestR2AProcessThatIsToldToStopWaitsForTokenCalls(t *testing.T) {
	binary := parallel(t)
	for name, callerLeaves := range map[string]bool{"the caller waits": false, "the caller has left": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, binary, "")
			api := c.start(t, "api")
			_, ids := c.provider(t, api, 1)
			c.expire(t, ids[0])
			c.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, Times: 1, AnswerLatencyMS: 2000})

			caller, leave := context.WithCancel(t.Context())
			defer leave()
			var got client.Token
			var err error
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				got, err = c.client(api).Token(caller, ids[0])
			}()
			eventually(t, "the upstream is asked", func() bool { return c.Upstream.Stats().Calls[testidp.Refresh] == 1 })
			if callerLeaves {
				leave()
				<-answered
			}
			must(t, api.Terminate())
			eventually(t, "/readyz says 503", func() bool { return status(t, api.URL+"/readyz") == http.StatusServiceUnavailable })
			must(t, api.Wait())
			if <-answered; !callerLeaves {
				must(t, err)
			}

			again := c.client(c.start(t, "api"))
			saved, err := again.Token(t.Context(), ids[0])
			must(t, err)
			if !callerLeaves && saved.AccessToken != got.AccessToken {
				t.Error("the token that was handed out was not saved")
			}
			c.expire(t, ids[0])
			_, err = again.Token(t.Context(), ids[0])
			must(t, err)
			stats := c.Upstream.Stats()
			if stats.Calls[testidp.Refresh] != 2 || stats.RefreshReused != 0 {
				t.Errorf("the upstream was asked to refresh %d times, with a spent token %d times; want 2 and 0",
					stats.Calls[testidp.Refresh], stats.RefreshReused)
			}
		})
	}
}

// status asks a process that may end meanwhile; 0 means that nobody answers.
func status(t *testing.T, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

func TestO1ADeletionSurvivesAnEmptiedRedis(t *testing.T) {
	binary, bell := parallel(t), ownRedis(t)
	c := newCluster(t, binary, bell.URL)
	api := c.start(t, "api")
	provider, _ := c.provider(t, api, 50)
	location := c.delete(t, api, provider.ID)

	r := redis.NewClient(&redis.Options{Addr: bell.Addr})
	defer r.Close()
	if rung, err := r.DBSize(t.Context()).Result(); err != nil || rung == 0 {
		t.Fatalf("nothing to empty: %d keys, %v", rung, err)
	}
	must(t, r.FlushAll(t.Context()).Err())
	c.start(t, "worker")
	c.completed(t, api, location, provider.ID, 50)
}

func TestO1ADeletionIsAcceptedWithoutRedis(t *testing.T) {
	binary, bell := parallel(t), ownRedis(t)
	c := newCluster(t, binary, bell.URL)
	api := c.start(t, "api")
	c.start(t, "worker")
	provider, _ := c.provider(t, api, 50)

	must(t, bell.Stop())
	location := c.delete(t, api, provider.ID) // in time, or the client gives up
	must(t, bell.Start(t.Context()))
	c.completed(t, api, location, provider.ID, 50)
}

func TestSeveralMayMigrateAtOnce(t *testing.T) {
	c := unprepared(t, parallel(t), "")
	_, err := c.Run(t.Context(), "keys", "init")
	must(t, err)
	var group errgroup.Group
	started := make([]*processes.Process, 4)
	for i := range started {
		group.Go(func() (err error) {
			started[i], err = c.Start(t.Context(), "api", "--migrate")
			return err
		})
	}
	err = group.Wait()
	for _, p := range started {
		if p != nil {
			c.watch(t, p)
		}
	}
	must(t, err)
	for _, p := range started {
		if got := status(t, p.URL+"/readyz"); got != http.StatusOK {
			t.Errorf("/readyz says %d", got)
		}
	}
}

func TestWhatMakesAStartFail(t *testing.T) {
	c := unprepared(t, parallel(t), "")
	_, err := c.Run(t.Context(), "keys", "init")
	must(t, err)
	for _, test := range []struct {
		name, redis, says string
		code              int
	}{
		{"without its schema", c.RedisURL, "grantd migrate", 1},
		{"one of several without a shared Redis", "memory:", "GRANTD_REDIS_URL", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			alone := *c.Grantd
			alone.RedisURL = test.redis
			p, err := alone.Start(t.Context(), "api")
			if err == nil {
				must(t, p.Kill())
				t.Fatal("it serves")
			}
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != test.code {
				t.Errorf("it did not exit with %d: %v", test.code, err)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("it does not name %s: %v", test.says, err)
			}
		})
	}
}

// Traces are switched on by the standard variables, and a log line says which trace it belongs to.
func TestAProcessSendsTraces(t *testing.T) {
	c := newCluster(t, parallel(t), "")
	var mu sync.Mutex
	var sent strings.Builder
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&sent, "%s %s %v\n", r.URL.Path, body, err)
	}))
	defer collector.Close()
	c.Env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_SERVICE_NAME=grantd-of-the-test"}
	api := c.start(t, "api")
	provider, _ := c.provider(t, api, 1)
	must(t, api.Stop()) // which sends what was not sent yet
	mu.Lock()
	defer mu.Unlock()
	for _, part := range []string{"/v1/traces", "grantd-of-the-test", "POST /api/v2/externalOAuth/providers/", "call token", "INSERT providers"} {
		if !strings.Contains(sent.String(), part) {
			t.Errorf("the collector got no %q", part)
		}
	}
	if strings.Contains(sent.String(), provider.ID) {
		t.Error("a span has the id of a provider")
	}
	if !strings.Contains(api.Log(), `"traceId":"`) {
		t.Errorf("no log line says which trace it belongs to")
	}
}
