package contract_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
)

// operation is one of the served OpenAPI document.
type operation struct{ method, path, id string }

// operations lists what the document names.
func operations(t testing.TB, h *brokertest.Instance) []operation {
	t.Helper()
	res, err := http.Get(h.URL + "/api/v2/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	if err := json.Unmarshal([]byte(read(t, res)), &document); err != nil {
		t.Fatal(err)
	}
	var all []operation
	for path, methods := range document.Paths {
		for method, op := range methods {
			all = append(all, operation{strings.ToUpper(method), path, op.OperationID})
		}
	}
	if len(all) < 14 {
		t.Fatalf("the document names only %d operations", len(all))
	}
	return all
}

func read(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// request makes one as the admin, with nothing that h.Do would add.
func request(t testing.TB, h *brokertest.Instance, method, path, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, h.URL+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret(h.Admin.Token))
	return req
}

// bare sends a request that the document says nothing about.
func bare(t testing.TB, r *http.Request) *http.Response {
	t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}
