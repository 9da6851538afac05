package contract_test

import (
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
)

// The page where the admin of people's organisation consents for all of them is shown
// to our admins, in every answer that has a provider, and to nobody else; providers
// without such a page have no such field.
func TestTheAdminConsentPageIsShownToAdmins(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := create(t, h, object{"type": "microsoft", "config": object{"tenant": "acme.example"}})
		id := text(t, p, "id")
		page := "https://login.microsoftonline.com/acme.example/v2.0/adminconsent?"
		for _, seen := range []object{
			p,
			want(t, 200, h.Do(t, h.Admin, "GET", provider(id), nil)),
			want(t, 200, h.Do(t, h.Admin, "PATCH", provider(id), object{"name": "Ours"})),
			list(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"providers/", nil))["data"])[0],
		} {
			link := text(t, seen["metadata"].(object), "adminConsentUrl")
			if !strings.HasPrefix(link, page) || inside(t, link, "redirect_uri") != h.URL+"/external-auth/"+id+"/callback" ||
				inside(t, link, "client_id") != brokertest.ClientID || inside(t, link, "scope") != "openid profile email offline_access User.Read" {
				t.Errorf("admins are sent to %s", link)
			}
		}
		for _, seen := range []object{
			want(t, 200, h.Do(t, h.User, "GET", provider(id), nil)),
			list(t, want(t, 200, h.Do(t, h.User, "GET", root+"providers/", nil))["data"])[0],
			create(t, h, nil),
		} {
			if link, shown := seen["metadata"].(object)["adminConsentUrl"]; shown {
				t.Errorf("%v is shown to one it is not for", link)
			}
		}
	})
}
