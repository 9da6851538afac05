package pages

import (
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

func TestInitialsStandForAName(t *testing.T) {
	for name, want := range map[string]string{
		"GitHub": "G", "Azure DevOps Server": "AD", "écoles de l'État": "ÉD", "<script>": "S", "日本 語": "日語", "": "", "!!": "", "4 you": "4Y",
	} {
		if got := initials(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestTimesAreToldInWords(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for past, want := range map[time.Duration]string{
		-time.Hour: "just now", 0: "just now", 119 * time.Second: "just now", 2 * time.Minute: "2 minutes ago", 119 * time.Minute: "119 minutes ago",
		2 * time.Hour: "2 hours ago", 47 * time.Hour: "47 hours ago", 48 * time.Hour: "2 days ago", 30 * 24 * time.Hour: "30 days ago", 31 * 24 * time.Hour: "25 October 2026",
	} {
		if got := ago(now, now.Add(-past)); got != want {
			t.Errorf("%s: %q, want %q", past, got, want)
		}
	}
}

// Pages load nothing from other hosts, so only an icon that this host serves is shown.
func TestOnlyIconsOfThisHostAreShown(t *testing.T) {
	for given, want := range map[any]string{"/icons/x.svg": "/icons/x.svg", "//evil.example.com/x.svg": "", "https://evil.example.com/x.svg": "", nil: "", 7: ""} {
		if got := icon(models.Provider{Config: models.Settings{"icon": given}}); got != want {
			t.Errorf("%v: %q, want %q", given, got, want)
		}
	}
}
