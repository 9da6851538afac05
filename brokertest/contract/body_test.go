package contract_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
)

// Finding F4: `POST /sign-in` with `Content-Length: 60000` and one byte was still open after
// 201 s, without any token, and 3,000 of them at once were accepted.
func TestT2_ABodyThatDoesNotComeEndsItsConnection(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{BodyTime: 300 * time.Millisecond, WithoutWorker: true})
	address := strings.TrimPrefix(h.URL, "http://")
	metrics := strings.TrimPrefix(h.MetricsURL, "http://")
	bearer := "Authorization: Bearer " + h.Admin.Token.Reveal() + "\r\n"
	requests := []struct{ to, head, body string }{
		{address, "POST /sign-in HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n", "x"},
		{address, "POST /sign-out HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n", "x"},
		{address, "POST " + root + "providers/ HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n", "{"},
		{address, "POST " + root + "providers/ HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n" + bearer, "{"},
		{address, "POST " + root + "providers/ HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n" + bearer, "1\r\n{\r\n"},
		{address, "GET /healthz HTTP/1.1\r\nContent-Length: 60000\r\n", "x"},
		{address, "GET /no/such/path HTTP/1.1\r\nContent-Length: 60000\r\n", ""},
		{metrics, "GET /metrics HTTP/1.1\r\nContent-Length: 60000\r\n", "x"},
	}
	var all sync.WaitGroup
	for i := range 40 * len(requests) {
		r := requests[i%len(requests)]
		all.Go(func() {
			if err := untilClosed(r.to, r.head, r.body); err != nil {
				t.Errorf("%.40q: %v", r.head, err)
			}
		})
	}
	all.Wait()

	// What waits for something else than its body is not cut short.
	job := jobOf(t, h, h.Do(t, h.Admin, "POST", root+"jobs/", object{"type": "STATS"}))
	if got := want(t, 200, h.Do(t, h.Admin, "GET", root+"jobs/"+job+"/?wait=1s", object{})); got["status"] != "PENDING" {
		t.Errorf("the job is %v", got["status"])
	}
}

// untilClosed sends a request whose body does not come, and reads until the server closes
// the connection. An answer that came before must be a refusal, or one that needs no body.
func untilClosed(address, head, body string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "%sHost: %s\r\n\r\n%s", head, address, body); err != nil {
		return err
	}
	from := bufio.NewReader(conn)
	answer, err := http.ReadResponse(from, nil)
	if err == nil {
		_, _ = io.Copy(io.Discard, answer.Body)
		switch answer.StatusCode {
		case http.StatusOK, http.StatusUnauthorized, http.StatusNotFound, http.StatusRequestTimeout:
		default:
			return fmt.Errorf("answered %s", answer.Status)
		}
	}
	if _, err := from.ReadByte(); err == nil {
		return fmt.Errorf("more than one answer came")
	} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		return fmt.Errorf("the connection stays open")
	}
	return nil
}

// Finding F15: answers of the JSON API could be taken for something else by a browser that
// guesses, and the metrics were open on the API's own address.
func TestAnswersAreNotGuessedAt(t *testing.T) {
	h := embedded(t)
	for _, a := range []brokertest.Answer{
		h.Do(t, h.Admin, "GET", root+"providers/", nil),
		h.Do(t, nobody, "GET", root+"providers/", nil),
		h.Do(t, h.Admin, "POST", root+"providers/", "nonsense"),
		h.Do(t, h.Admin, "GET", "/no/such/path", nil),
		h.Do(t, h.Admin, "GET", "/metrics", nil),
		h.Do(t, nobody, "GET", "/healthz", nil),
	} {
		if got := a.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%d has X-Content-Type-Options %q: %.80s", a.Status, got, a.Body)
		}
	}
	for _, at := range []string{h.URL + "/", h.URL + "/docs", h.URL + "/sign-in", h.URL + "/api/v2/openapi.json", h.MetricsURL} {
		answer, err := http.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if got := answer.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s has X-Content-Type-Options %q", at, got)
		}
	}
	if got := h.Do(t, h.Admin, "GET", "/metrics", nil); got.Status != http.StatusNotFound {
		t.Errorf("the API's address answers /metrics with %d", got.Status)
	}
}
