package commands

import (
	"fmt"
	"slices"
	"testing"

	"github.com/grantd/grantd/models"
)

func TestOnlyAProvidersOwnHostsAreItsOwn(t *testing.T) {
	for _, c := range []struct {
		p    models.Provider
		want []string
	}{
		{models.Provider{Type: "github", Metadata: models.ProviderMetadata{SettingsURL: "https://github.com/settings/connections/applications/x"}}, []string{"github.com"}},
		{models.Provider{Type: "github", Metadata: models.ProviderMetadata{Host: "GitHub.example.com:8443"}}, []string{"github.example.com:8443"}},
		{models.Provider{Type: "oauth2", Config: models.Settings{"authorizeUrl": "https://git.example.com/oauth", "tokenUrl": "https://git.example.com:443/token", "userInfoUrl": "http://plain.example.com/",
			"match": []any{"github.com"}, "icon": "https://icons.example.com/i.png", "appSlug": "https://evil.example.com"}}, []string{"git.example.com"}},
		{models.Provider{Type: "oidc", Config: models.Settings{"issuer": "https://login.example.com/realms/x"}}, []string{"login.example.com"}},
	} {
		got := ownHosts(c.p)
		slices.Sort(got)
		if got = slices.Compact(got); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s has the hosts %v, want %v", c.p.Type, got, c.want)
		}
	}
}

func TestARepositoryIsWithinThePlacesOfAProvider(t *testing.T) {
	limited := models.Provider{Config: models.Settings{"match": []any{"git.example.com/team", "other.example.com"}}}
	for _, c := range []struct {
		p          models.Provider
		host, path string
		want       bool
	}{
		{models.Provider{}, "git.example.com", "", true},
		{limited, "git.example.com", "team/app.git", true},
		{limited, "git.example.com", "/team", true},
		{limited, "git.example.com", "teamwork/app.git", false},
		{limited, "git.example.com", "team/../other/app.git", false},
		{limited, "git.example.com", "", false},
		{limited, "git.example.com:8443", "team/app.git", false},
		{limited, "other.example.com", "anything", true},
		{limited, "example.com", "team", false},
	} {
		if got := within(c.p, c.host, c.path); got != c.want {
			t.Errorf("%s/%s: %v", c.host, c.path, got)
		}
	}
}
