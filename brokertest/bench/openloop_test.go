package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A loop that times each request from when it was really sent leaves out what those waited that came after a slow one.
func TestAnOpenLoopCountsFromWhenARequestWasToBeSent(t *testing.T) {
	const n = 20
	begin := time.Now()
	var first sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		first.Do(func() { // while it waits, all the others are due
			<-time.After(time.Until(begin.Add(2 * n * time.Millisecond)))
		})
	}))
	defer server.Close()
	l := &openLoop{name: "test", base: server.URL, perSecond: 1000, most: 1, requests: [][]byte{request("GET", "/", "")}}
	defer l.close()
	begin = time.Now()
	l.run(t.Context(), n*time.Millisecond)
	if l.sent != n || l.good != n {
		t.Fatalf("of %d sent %d were answered, want %d", l.sent, l.good, n)
	}
	// The last one was to be sent after 19 ms, and none was answered before 40 ms.
	if got := time.Duration(l.took.Min()) * time.Microsecond; got < n*time.Millisecond {
		t.Errorf("one took %s: what it waited for the connection is missing", got)
	}
	folder := t.TempDir()
	if err := l.keep(folder); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(folder + "/test.hgrm")
	if err != nil || !strings.Contains(string(kept), "Total count    =           20") {
		t.Errorf("the histogram that was kept does not have 20 answers: %v\n%s", err, kept)
	}
}

func TestAnOpenLoopCountsWhatIsNotAnsweredAsItsPatience(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	l := &openLoop{base: server.URL, perSecond: 1000, most: 4, requests: [][]byte{request("GET", "/", "")}}
	defer l.close()
	l.run(t.Context(), 10*time.Millisecond)
	if a := l.summary(); a.share != 0 || a.p50 < openPatience {
		t.Errorf("10 refusals count as %s", a)
	}
}
