package tenants_test

import (
	"context"
	"fmt"
	"maps"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

func TestMain(m *testing.M) { brokertest.Main(m) }

var ctx = context.Background()

// world is an instance with two organisations: acme, whose admin and user only do their
// work, and globex, whose admin attacks.
type world struct {
	*brokertest.Instance
	hostile brokertest.Person
	made    int
	// throttling is the address of a server of the hostile organisation that answers 429.
	throttling string
}

func newWorld(t *testing.T, o brokertest.Options) *world {
	h := brokertest.New(t, &o)
	return &world{Instance: h, hostile: h.Other}
}

// provider registers a provider with the client that the test server knows.
func (w *world) provider(t *testing.T, who brokertest.Person, n models.ProviderInput) models.Provider {
	t.Helper()
	w.made++
	if n.Name == "" {
		n.Name = fmt.Sprint("Provider ", w.made)
	}
	if n.Type == "" {
		n.Type = "test"
	}
	n.ClientID, n.ClientSecret = brokertest.ClientID, brokertest.ClientSecret
	return must(w.Service.CreateProvider(ctx, who.Caller, n))(t)
}

// configured is what a provider of type oauth2 is configured with.
func configured(base string, changes map[string]any) map[string]any {
	config := map[string]any{"authStyle": "basic", "authorizeUrl": base + "/authorize", "tokenUrl": base + "/token",
		"revokeUrl": base + "/revoke", "userInfoUrl": base + "/userinfo", "issuer": base}
	maps.Copy(config, changes)
	return config
}

func (w *world) ended(t *testing.T, who brokertest.Person, id string) models.Job {
	t.Helper()
	var j models.Job
	brokertest.Eventually(t, "the job ends", func() bool {
		j = must(w.Service.Job(ctx, who.Caller, id))(t)
		return j.Status.Final()
	})
	return j
}

func detail(j models.Job, name string) string {
	for _, d := range j.Details {
		if d.Name == name {
			return fmt.Sprint(d.Value)
		}
	}
	return ""
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantCode(t *testing.T, what string, err error, code models.Code) {
	t.Helper()
	if got := models.CodeOf(err); got != code {
		t.Errorf("%s: the error is %q (%v), want %q", what, got, err, code)
	}
}
