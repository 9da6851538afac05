package contract_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// A link that was made with a bearer token of a trusted issuer ends with that token, however far it has come, and what was
// consented to is revoked.
func TestALinkEndsWithTheBearerTokenThatItWasMadeWith(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		h, issuer := trusting(t, brokertest.Options{Backend: b, RedirectAllow: []string{"https://app.example.com"}}, nil)
		p, s := h.Provider(t, "test"), surf(t, h)
		end := time.Now().Add(5 * time.Minute).Truncate(time.Second)
		app := h.Bearer(t, ofCI(t, issuer, object{"exp": end.Unix()}))
		ends := func(id string) {
			t.Helper()
			if got := linkIs(t, h, id, "failed", "expired"); got["authorizationId"] != nil {
				t.Errorf("the link is %v", got)
			}
		}
		over := func() { change(t, h, "UPDATE connect_links SET token_ends_at = created_at") }

		opened, path := link(t, h, app, p.ID, object{"expiresIn": 3600})
		if got := linkIs(t, h, opened, "open", ""); !wantTime(t, "expiresAt", got["expiresAt"]).Equal(end) {
			t.Errorf("the link can be opened until %v, and the token ends at %v", got["expiresAt"], end)
		}
		over()
		ends(opened)
		wantPage(t, s.back(path), 410, "not used in time")

		begun, path := link(t, h, app, p.ID, nil)
		address := s.approves(s.presses(path).to, "ada")
		exchanges := h.IdP.Stats().Calls[testidp.Exchange]
		over()
		if back := s.back(address); inside(t, back.to, "error") != "expired" {
			t.Errorf("the return leads with %d to %q", back.status, back.to)
		}
		ends(begun)
		if n := h.IdP.Stats().Calls[testidp.Exchange]; n != exchanges {
			t.Errorf("%d codes were sent", n-exchanges)
		}

		returned, path := link(t, h, app, p.ID, nil)
		_, to := s.links(path, "ada")
		if got := linkIs(t, h, returned, "returned", ""); !wantTime(t, "expiresAt", got["expiresAt"]).Equal(end) {
			t.Errorf("it can be confirmed until %v, and the token ends at %v", got["expiresAt"], end)
		}
		over()
		want(t, 410, confirm(t, h, app, returned, inside(t, to, "result"), "ada"))
		ends(returned)
		change(t, h, "UPDATE flows SET expires_at = created_at")
		brokertest.Eventually(t, "the tokens are revoked", func() bool { return grants(h) == 0 })

		// One that needs no confirmation, whose token ends while the code is exchanged.
		s.signIn(h.User)
		_, path = link(t, h, app, p.ID, object{"returnUrl": nil, "confirm": false, "signIn": true})
		address = s.approves(s.presses(path).to, "ada")
		exchanged := make(chan struct{})
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Until: exchanged, Times: 1})
		asked, done := h.IdP.Stats().Calls[testidp.UserInfo], make(chan page)
		go func() { done <- s.back(address) }()
		brokertest.Eventually(t, "the upstream is asked who consented", func() bool { return h.IdP.Stats().Calls[testidp.UserInfo] > asked })
		over()
		close(exchanged)
		if back := <-done; back.status < 400 {
			t.Errorf("the person reads %d %q: %.400s", back.status, back.to, back.body)
		}
		change(t, h, "UPDATE flows SET expires_at = created_at")
		brokertest.Eventually(t, "these tokens are revoked too", func() bool { return grants(h) == 0 })
		if n := len(ids(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"authorizedProviders/", nil)))); n != 0 {
			t.Errorf("%d accounts are connected", n)
		}

		late := h.Bearer(t, ofCI(t, issuer, object{"exp": time.Now().Add(-30 * time.Second).Unix()}))
		want(t, 403, h.Do(t, late, "POST", root+"connectLinks/", object{"userId": "ada", "providerId": p.ID, "returnUrl": appReturn}))
	})
}

// Somebody leaves, and everything of theirs is revoked: what they have under way becomes no connection afterwards, wherever
// it has come to, and what it brings is revoked too. What others have under way goes on.
func TestWhatALeavingUserHasUnderWayEnds(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		h, p := d.Instance, d.provider(t, "test")
		app, s, other := linker(t, h, p), surf(t, h), surf(t, h)
		leaves := func() {
			ended(t, h, jobOf(t, h, h.Do(t, h.Admin, "DELETE", root+"authorizedProviders/?userId=ada", nil)))
		}

		open, openPath := link(t, h, app, p, nil)
		begun, begunPath := link(t, h, app, p, nil)
		target := s.presses(begunPath).to
		returned, returnedPath := link(t, h, app, p, nil)
		address := s.approves(s.presses(returnedPath).to, "ada")
		result := inside(t, s.back(address).to, "result")
		theirs, theirPath := link(t, h, app, p, object{"userId": "grace"})
		consented, device := approved(t, h, h.User, p, "ada"), d.begin(t, p)
		unidentified := approved(t, h, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 503, Times: 1})
		want(t, 502, h.Do(t, h.User, "POST", callback, unidentified))
		leaves()

		for _, id := range []string{open, begun, returned} {
			linkIs(t, h, id, "failed", "user_revoked")
		}
		wantPage(t, s.back(openPath), 410, "everything that was connected for you was revoked")
		if back := s.back(s.approves(target, "ada")); inside(t, back.to, "error") != "user_revoked" {
			t.Errorf("the return leads with %d to %q", back.status, back.to)
		}
		want(t, 410, confirm(t, h, app, returned, result, "ada"))
		want(t, 400, h.Do(t, h.User, "POST", callback, consented))
		if a := h.Do(t, h.User, "POST", callback, unidentified); a.Status < 400 {
			t.Errorf("a consent that was exchanged before is answered with %d", a.Status)
		}
		d.IdP.ApproveDevice(device.userCode, "ada")
		if gone := want(t, 400, d.poll(t, device)); gone["detail"] != "expired_token" {
			t.Errorf("the device is told %v", gone)
		}
		brokertest.Eventually(t, "what was granted is revoked", func() bool { return grants(h) == 0 })
		if n := len(ids(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"authorizedProviders/", nil)))); n != 0 {
			t.Errorf("%d accounts are connected", n)
		}

		// A code that is being exchanged at this moment.
		back := approved(t, h, h.User, p, "ada")
		going := make(chan struct{})
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Exchange, Until: going, Times: 1})
		sent, answered := h.IdP.Stats().Calls[testidp.Exchange], make(chan error)
		go func() {
			_, err := h.Service.Complete(ctx, h.User.Caller, models.Callback{ProviderID: p, State: models.Secret(text(t, back, "state")), Code: models.Secret(text(t, back, "code"))})
			answered <- err
		}()
		brokertest.Eventually(t, "the code is sent", func() bool { return h.IdP.Stats().Calls[testidp.Exchange] > sent })
		leaves()
		close(going)
		if err := <-answered; models.CodeOf(err) != models.CodeNotFound {
			t.Errorf("the consent is answered with %v", err)
		}
		brokertest.Eventually(t, "its tokens are revoked", func() bool { return grants(h) == 0 })

		// Others, and ada from now on.
		_, to := other.links(theirPath, "grace")
		want(t, 200, confirm(t, h, app, theirs, inside(t, to, "result"), "grace"))
		accessToken(t, h, h.User, consent(t, h, h.User, p, "ada"))
		events := want(t, 200, h.Do(t, h.Admin, "GET", root+"audit/?"+url.Values{"action": {"connect_link.ended"}}.Encode(), nil))["data"].([]any)
		if len(events) != 3 {
			t.Errorf("%d links are audited as ended", len(events))
		}
		for _, e := range events {
			if e := e.(object); e["userId"] != "ada" || e["code"] != "user_revoked" || e["tokenId"] != h.Admin.Caller.TokenID {
				t.Errorf("the event is %v", e)
			}
		}
	})
}

// Links are listed to those who may see them, each with the status that it has by itself; those that are open are those
// that may still connect.
func TestConnectLinksAreListed(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p, elsewhere := h.Provider(t, "test").ID, createID(t, h, nil)
		app, s := linker(t, h, p), surf(t, h)
		other := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-other", Role: models.RoleService, Name: "Other", Providers: []string{p, elsewhere},
			ReturnOrigins: []string{"https://app.example.com"}})
		made := map[string]string{} // status → id
		made["open"], _ = link(t, h, app, p, nil)
		var path string
		made["begun"], path = link(t, h, app, p, nil)
		s.presses(path)
		made["returned"], path = link(t, h, app, p, nil)
		s.links(path, "ada")
		made["connected"], path = link(t, h, app, p, nil)
		_, to := s.links(path, "ada")
		want(t, 200, confirm(t, h, app, made["connected"], inside(t, to, "result"), "ada"))
		made["withdrawn"], _ = link(t, h, app, p, nil)
		want(t, 204, h.Do(t, app, "DELETE", linkAt(made["withdrawn"]), nil))
		made["expired"], _ = link(t, h, app, p, nil)
		made["not returned"], path = link(t, h, app, p, nil)
		s.presses(path)
		made["token ended"], _ = link(t, h, app, p, nil)
		change(t, h, "UPDATE connect_links SET expires_at = created_at WHERE id = '"+made["expired"]+"'")
		change(t, h, "UPDATE flows SET expires_at = created_at WHERE id = (SELECT flow_id FROM connect_links WHERE id = '"+made["not returned"]+"')")
		change(t, h, "UPDATE connect_links SET token_ends_at = created_at WHERE id = '"+made["token ended"]+"'")
		graces, _ := link(t, h, other, elsewhere, object{"userId": "grace"})

		listed := func(who brokertest.Person, query string) []object {
			t.Helper()
			return list(t, want(t, 200, h.Do(t, who, "GET", root+"connectLinks/"+query, nil))["data"])
		}
		all := listed(h.Admin, "")
		if len(all) != len(made)+1 || all[0]["id"] != graces {
			t.Fatalf("%d links are listed, %v first", len(all), all[0])
		}
		stillOpen := 0
		for _, l := range all {
			single := want(t, 200, h.Do(t, h.Admin, "GET", linkAt(text(t, l, "id")), nil))
			if !same(l, single) {
				t.Errorf("listed as %v, and by itself %v", l, single)
			}
			switch l["status"] {
			case "open", "begun", "returned":
				stillOpen++
			}
		}
		open := listed(h.Admin, "?open=true")
		if len(open) != stillOpen || stillOpen != 4 {
			t.Errorf("%d links are open, by their status %d", len(open), stillOpen)
		}
		for _, l := range open {
			if id := l["id"]; id != graces && id != made["open"] && id != made["begun"] && id != made["returned"] {
				t.Errorf("listed as open: %v", l)
			}
		}
		for _, c := range []struct {
			who   brokertest.Person
			query string
			n     int
		}{
			{app, "", len(made)}, {app, "?userId=grace", 0}, {other, "", 1}, {other, "?userId=grace&open=true", 1}, {h.Other, "", 0},
			{h.Admin, "?userId=grace", 1}, {h.Admin, "?providerId=" + elsewhere, 1}, {h.Admin, "?userId=nobody", 0}, {h.Admin, "?providerId=%00", 0},
			{limited(t, h, models.RoleAdmin, elsewhere), "", 1},
		} {
			if got := listed(c.who, c.query); len(got) != c.n {
				t.Errorf("%s of %s: %d links, want %d", c.query, c.who.Caller.UserID, len(got), c.n)
			}
		}
		first := want(t, 200, h.Do(t, h.Admin, "GET", root+"connectLinks/?limit=3", nil))
		if n := len(ids(t, first)); n != 3 || first["next"] == nil {
			t.Errorf("a page has %d links, and goes on at %v", n, first["next"])
		}
	})
}

// Two programs that the same entry of a trusted issuer admits are two services: neither sees, confirms or takes back the
// other's links.
func TestALinkBelongsToOneServiceOfAnEntry(t *testing.T) {
	t.Parallel()
	h, issuer := trusting(t, brokertest.Options{RedirectAllow: []string{"https://app.example.com"}}, nil)
	p, s := h.Provider(t, "test"), surf(t, h)
	maker := h.Bearer(t, ofCI(t, issuer, nil))
	other := h.Bearer(t, issuer.Bearer(t, "repo:acme/another", object{"owner_id": json.Number("123")}))
	id, path := link(t, h, maker, p.ID, nil)
	_, to := s.links(path, "ada")
	want(t, 404, h.Do(t, other, "GET", linkAt(id), nil))
	want(t, 404, h.Do(t, other, "DELETE", linkAt(id), nil))
	want(t, 404, confirm(t, h, other, id, inside(t, to, "result"), "ada"))
	if n := len(ids(t, want(t, 200, h.Do(t, other, "GET", root+"connectLinks/", nil)))); n != 0 {
		t.Errorf("%d links of another service are listed", n)
	}
	want(t, 200, confirm(t, h, maker, id, inside(t, to, "result"), "ada"))
}
