package commands

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// Pruning counts as many connections as it takes to know whether --max-connections holds, and not only as many as people
// are shown: a provider with more of both was deleted.
func TestPruningCountsAsFarAsItsLimit(t *testing.T) {
	const connections = 2*maxShown + 500
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		next := "null"
		if from+500 < connections {
			next = fmt.Sprintf(`"/?offset=%d"`, from+500)
		}
		fmt.Fprintf(w, `{"data":[%s{}],"next":%s}`, strings.Repeat("{},", 499), next)
	}))
	defer server.Close()
	c := client.New(server.URL, "grd_1", nil)
	there := map[string]models.Provider{"gone": {Slug: "gone", ManagedBy: "platform"}}
	for limit, want := range map[int]string{
		connections:     "",
		connections - 1: "than the 20499 that --max-connections allows: gone (more than 20499 connections)",
		maxShown:        "gone (more than 10000 connections)",
		0:               "gone (more than 10000 connections)",
		-1:              "these would be: gone (more than 10000 connections)",
	} {
		a := providersApplyCommand{Yes: true, MaxConnections: limit}
		plan, err := a.pruned(context.Background(), c, there, providerFile{Name: "platform"})
		if err != nil {
			t.Fatal(err)
		}
		err = a.mayPrune(&Session{}, plan)
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("--max-connections %d: %s, want %q", limit, got, want)
		}
	}
}
