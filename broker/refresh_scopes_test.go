package broker

import (
	"slices"
	"testing"

	"github.com/grantd/grantd/models"
)

// Protocol rule 22: where an upstream wants scopes with a refresh, they are those of
// the authorization. A provider whose scopes were widened since would otherwise
// ask for what nobody granted, and lose the grant to the refusal.
func TestARefreshKnowsWhatWasGranted(t *testing.T) {
	l := models.Linked{Authorization: models.Authorization{Scopes: models.Strings{"User.Read"}},
		Provider: models.Provider{Scopes: models.Strings{"User.Read", "Mail.Read"}}}
	got := grantedTokens(l, pair{Access: "a", Refresh: "r"})
	if got.Access != "a" || got.Refresh != "r" || !slices.Equal(got.Scopes, []string{"User.Read"}) {
		t.Errorf("%d scopes: %v", len(got.Scopes), got.Scopes)
	}
}
