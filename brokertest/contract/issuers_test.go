package contract_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/oidcprovider"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
)

// trusting is an instance that trusts an issuer: the jobs of a repository are a service, people are users.
func trusting(t *testing.T, o brokertest.Options, change func(entries []broker.TrustedIssuer)) (*brokertest.Instance, *brokertest.Issuer) {
	t.Helper()
	issuer := brokertest.NewIssuer(t)
	entry := func(name string, role models.Role, rules ...broker.Rule) broker.TrustedIssuer {
		return broker.TrustedIssuer{Name: name, Keys: issuer.Source(), Audience: brokertest.Audience, Org: "acme",
			User: broker.UserClaim{Template: "sub"}, Role: role, Rules: rules, MaxAge: 24 * time.Hour}
	}
	service := entry("ci", models.RoleService, broker.Rule{Claim: "owner_id", Value: "123"}, broker.Rule{Claim: "sub", Value: "repo:acme/", Prefix: true})
	service.Providers = []string{"test-provider"}
	entries := []broker.TrustedIssuer{service, entry("corp", models.RoleUser, broker.Rule{Claim: "groups", Value: "people"})}
	if change != nil {
		change(entries)
	}
	o.Issuers, o.Allow = entries, append(o.Allow, issuer.Host())
	return brokertest.New(t, &o), issuer
}

// ofCI is a token of a job of acme's repository.
func ofCI(t testing.TB, issuer *brokertest.Issuer, changes object) models.Secret {
	claims := object{"owner_id": json.Number("123")}
	for name, value := range changes {
		claims[name] = value
	}
	return issuer.Bearer(t, "repo:acme/app:ref:refs/heads/main", claims)
}

// ofPerson is a token of somebody in the group that the issuer's rules admit.
func ofPerson(t testing.TB, issuer *brokertest.Issuer, sub string) models.Secret {
	return issuer.Bearer(t, sub, object{"groups": []string{"staff", "people"}})
}

// A service and people authenticate with tokens of an issuer, without any API token: what a person connects is found by the service
// that names them, and everything is audited and counted for the entry.
func TestA5_BearersOfATrustedIssuer(t *testing.T) {
	eachWith(t, brokertest.Options{}, func(t *testing.T, first *brokertest.Instance) {
		issuer := brokertest.NewIssuer(t)
		p := first.Provider(t, "test")
		h := brokertest.New(t, &brokertest.Options{DatabaseURL: first.DatabaseURL, RedisURL: first.RedisURL, Keys: first.Keys, Clock: first.Clock,
			IdP: first.IdP, IdPURL: first.IdPURL, Allow: []string{issuer.Host()}, WithoutWorker: true, Issuers: []broker.TrustedIssuer{
				{Name: "ci", Keys: issuer.Source(), Audience: brokertest.Audience, Org: "acme", User: broker.UserClaim{Template: "sub"}, Role: models.RoleService,
					Rules: []broker.Rule{{Claim: "owner_id", Value: "123"}}, Providers: []string{p.Slug, "not-there-yet"}, MaxAge: time.Hour},
				{Name: "corp", Keys: issuer.Source(), Audience: brokertest.Audience, Org: "acme", User: broker.UserClaim{Template: "sub"}, Role: models.RoleUser,
					Rules: []broker.Rule{{Claim: "groups", Value: "people"}}, MaxAge: time.Hour},
			}})
		ada, ci := h.Bearer(t, ofPerson(t, issuer, "auth0|ada")), h.Bearer(t, ofCI(t, issuer, nil))
		a := consent(t, h, ada, p.ID, "ada")
		want(t, 201, h.Do(t, ada, "POST", tokenOf(a), nil))
		want(t, 201, h.Do(t, ci, "POST", tokenOf(a)+"?userId=corp:auth0%257Cada", nil))
		want(t, 404, h.Do(t, ci, "POST", tokenOf(a)+"?userId=ada", nil))
		want(t, 422, h.Do(t, ci, "POST", tokenOf(a), nil))
		want(t, 404, h.Do(t, h.User, "POST", tokenOf(a), nil))
		want(t, 200, h.Do(t, ci, "GET", externalAuth+"?userId=ada", nil))
		if me, err := ci.Client.Me(ctx); err != nil || me.UserID != "ci:repo:acme/app:ref:refs/heads/main" || me.Role != models.RoleService || me.By != models.ByIssuer ||
			me.TokenID != "issuer:ci" || me.Name != "ci" || !slices.Equal(me.Providers, []string{p.ID, "not-there-yet"}) || me.ExpiresAt == nil {
			t.Errorf("the service is %+v, %v", me, err)
		}
		if err := h.Service.FlushFetches(ctx); err != nil {
			t.Fatal(err)
		}
		if got := column(t, h, "SELECT DISTINCT token_id FROM token_fetches ORDER BY token_id"); !slices.Equal(got, []string{"issuer:ci", "issuer:corp"}) {
			t.Errorf("fetches are counted for %v", got)
		}
		want(t, 204, h.Do(t, ci, "DELETE", authorization(a)+"?userId=corp:auth0%257Cada", nil))
		got := column(t, h, "SELECT user_id || ' ' || actor || ' ' || token_id FROM audit_events WHERE token_id = 'issuer:ci'")
		if want := "corp:auth0%7Cada ci:repo:acme/app:ref:refs/heads/main issuer:ci"; len(got) != 1 || got[0] != want {
			t.Errorf("audited: %v", got)
		}
		page, err := h.Service.MyConnections(ctx, broker.Visitor{Caller: h.User.Caller}, "")
		if err != nil || len(page.Connections) != 0 {
			t.Fatal(page, err)
		}
		consent(t, h, h.User, p.ID, "linus")
		if page, err = h.Service.MyConnections(ctx, broker.Visitor{Caller: h.User.Caller}, ""); err != nil || !slices.Equal(page.Connections[0].Services, []string{"ci"}) {
			t.Errorf("services: %v, %v", page.Connections, err)
		}
	})
}

// A6: a bearer token is answered like an API token of the same role and limits, in every row of the policy.
func TestA6_BearersMayDoWhatTheirRoleMay(t *testing.T) {
	t.Parallel()
	h, issuer := trusting(t, brokertest.Options{Limits: broker.Limits{PersonConsents: 1000}}, func(entries []broker.TrustedIssuer) {
		entries[1].User.Shared = true
	})
	for _, r := range policy {
		for _, cell := range []struct {
			caller string
			token  func() models.Secret
			user   string
			status int
		}{
			{"the owner", func() models.Secret { return ofPerson(t, issuer, "ada") }, "", r.owner},
			{"another user", func() models.Secret { return ofPerson(t, issuer, "grace") }, "", r.other},
			// A service whose only provider is not there, for the owner: what is outside its limits does not exist.
			{"a service of another provider", func() models.Secret { return ofCI(t, issuer, nil) }, "ada", outside(r)},
		} {
			t.Run(strings.TrimSpace(r.operation+" "+r.about)+"/"+cell.caller, func(t *testing.T) {
				x := &things{t: t, h: h}
				r.need(x)
				if x.provider != "" { // so that the slug of the service's limits is not this provider's
					rename(t, h, x.provider)
				}
				path := x.path(r)
				if cell.user != "" && namesAUser(r.operation) {
					path = naming(path, cell.user)
				}
				want(t, cell.status, h.Do(t, brokertest.Person{Token: cell.token()}, r.method, path, r.body(x)))
			})
		}
	}
}

// outside is how a service is answered that is limited to another provider.
func outside(r rule) int {
	if slices.Contains(orgWide, r.operation) || r.operation == "listJobs" {
		return 403
	}
	return r.foreign
}

func rename(t testing.TB, h *brokertest.Instance, id string) {
	t.Helper()
	want(t, 200, h.Do(t, h.Admin, "PATCH", provider(id), object{"slug": "p-" + id}))
}

// Anything but a token that the issuer signed for this service, and that matches exactly one entry, is refused. No such token
// makes grantd read the keys a second time.
func TestA5_HostileBearers(t *testing.T) {
	t.Parallel()
	h, issuer := trusting(t, brokertest.Options{}, func(entries []broker.TrustedIssuer) { entries[0].Providers = []string{"p"} })
	neighbour := brokertest.NewIssuer(t)
	key := issuer.Key()
	public, err := x509.MarshalPKIXPublicKey(&key.Key.(*ecdsa.PrivateKey).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	good := issuer.Claims("repo:acme/app:x", object{"owner_id": "123"})
	by := jose.SigningKey{Algorithm: jose.ES256, Key: key}
	claims := func(changes object) models.Secret { return ofCI(t, issuer, changes) }
	header := func(h map[string]any) models.Secret { return brokertest.Sign(t, by, good, h) }
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	compact := secret(header(nil))
	parts := strings.Split(compact, ".")
	unknown := key
	unknown.KeyID = "of-nobody"
	theirs := neighbour.Key()
	theirPublic := theirs.Public()
	theirs.KeyID = key.KeyID
	two, err := jose.NewMultiSigner([]jose.SigningKey{by, {Algorithm: jose.ES256, Key: theirs}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(good)
	both, err := two.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	want(t, 200, h.Do(t, brokertest.Person{Token: header(nil)}, "GET", root+"providers/", nil)) // the same without anything wrong
	read := issuer.Asked()

	for _, c := range []struct {
		name  string
		token models.Secret
	}{
		{"alg none", models.Secret(encode(`{"alg":"none"}`) + "." + parts[1] + ".")},
		{"alg none with a signature", models.Secret(encode(`{"alg":"none","kid":"`+key.KeyID+`"}`) + "." + parts[1] + "." + parts[2])},
		{"alg nOnE", models.Secret(encode(`{"alg":"nOnE"}`) + "." + parts[1] + ".")},
		{"HS256 with the public key", brokertest.Sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: publicPEM, KeyID: key.KeyID}}, good, nil)},
		{"HS256 with the public key as bytes", brokertest.Sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: public}, good, nil)},
		{"no signature", models.Secret(parts[0] + "." + parts[1] + ".")},
		{"other claims under the signature", models.Secret(parts[0] + "." + encode(`{"iss":"`+issuer.URL+`","sub":"root"}`) + "." + parts[2])},
		{"another key of the same id", brokertest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: theirs}, good, nil)},
		{"an unknown key", brokertest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: unknown}, good, nil)},
		{"an unknown key again", brokertest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: unknown}, issuer.Claims("x", nil), nil)},
		{"a key in the header", brokertest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: neighbour.Key().Key}, good, map[string]any{"jwk": theirPublic})},
		{"jku", brokertest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: neighbour.Key()}, good, map[string]any{"jku": neighbour.URL + "/keys"})},
		{"x5u", brokertest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: neighbour.Key()}, good, map[string]any{"x5u": neighbour.URL + "/keys"})},
		{"crit", header(map[string]any{"crit": []string{"b64"}, "b64": true})},
		{"an unknown crit", header(map[string]any{"crit": []string{"exp"}})},
		{"two signatures", models.Secret(both.FullSerialize())},
		{"a JWT in a JWT", nested(t, by, compact)},
		{"longer than 8 KiB", claims(object{"padding": strings.Repeat("x", 8<<10)})},
		{"four parts", models.Secret(compact + ".x")},
		{"five parts, as an encrypted one", models.Secret(compact + ".x.x")},
		{"what is no base64", models.Secret(parts[0] + ".!!." + parts[2])},
		{"padded base64", models.Secret(parts[0] + "." + parts[1] + "=." + parts[2])},
		{"another issuer of the same keys", claims(object{"iss": issuer.URL + "/"})},
		{"an issuer in another case", claims(object{"iss": strings.ToUpper(issuer.URL)})},
		{"no issuer", claims(object{"iss": nil})},
		{"an issuer that is a list", claims(object{"iss": []string{issuer.URL}})},
		{"an issuer that nobody trusts", neighbour.Bearer(t, "repo:acme/app:x", object{"owner_id": "123"})},
		{"a neighbour who says to be the issuer", neighbour.Bearer(t, "repo:acme/app:x", object{"owner_id": "123", "iss": issuer.URL})},
		{"another audience", claims(object{"aud": "https://other.test"})},
		{"no audience", claims(object{"aud": nil})},
		{"an audience that begins alike", claims(object{"aud": brokertest.Audience + ".evil.test"})},
		{"a shared audience", claims(object{"aud": []string{brokertest.Audience, "https://other.test"}})},
		{"an audience that is an object", claims(object{"aud": object{brokertest.Audience: true}})},
		{"a list of audiences with what is none", claims(object{"aud": []any{brokertest.Audience, 7}})},
		{"expired", claims(object{"exp": at(-2 * time.Minute)})},
		{"without an end", claims(object{"exp": nil})},
		{"an end that is a text", claims(object{"exp": "9999999999"})},
		{"an end that no clock shows", claims(object{"exp": json.Number("1e300")})},
		{"from the future", claims(object{"iat": at(2 * time.Minute)})},
		{"not yet valid", claims(object{"nbf": at(2 * time.Minute)})},
		{"living for too long", claims(object{"exp": at(25 * time.Hour)})},
		{"living for too long without a beginning", claims(object{"iat": nil, "exp": at(25 * time.Hour)})},
		{"a neighbour's prefix", claims(object{"sub": "repo:acme-evil/app:x"})},
		{"the prefix without its end", claims(object{"sub": "repo:acme"})},
		{"the prefix further behind", claims(object{"sub": "x:repo:acme/app"})},
		{"another customer", claims(object{"owner_id": json.Number("1234")})},
		{"a customer that is written otherwise", claims(object{"owner_id": json.Number("123.0")})},
		{"no customer", claims(object{"owner_id": nil})},
		{"a customer that is an object", claims(object{"owner_id": object{"owner_id": "123"}})},
		{"no subject", claims(object{"sub": nil})},
		{"an empty subject", claims(object{"sub": "", "groups": "people"})},
		{"a subject that is a list", claims(object{"sub": []string{"repo:acme/app"}})},
		{"a subject that is too long", claims(object{"sub": "repo:acme/" + strings.Repeat("x", 600)})},
		{"one that fits two entries", claims(object{"groups": "people"})},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 {
				answer := want(t, 401, h.Do(t, brokertest.Person{Token: c.token}, "GET", root+"providers/", nil))
				if message := text(t, answer, "message"); strings.Contains(message, "acme") {
					t.Errorf("the answer tells more than that it is refused: %s", message)
				}
			}
			if c.token != "" && len(secret(c.token)) > 20 && strings.Contains(h.Log.String(), secret(c.token)[:20]) {
				t.Error("the log has the token")
			}
		})
	}
	if n := issuer.Asked() - read; n > 1 {
		t.Errorf("the keys were read %d times more", n)
	}
	if n := neighbour.Asked(); n != 0 {
		t.Errorf("the neighbour's keys were read %d times", n)
	}
	want(t, 200, h.Do(t, brokertest.Person{Token: header(nil)}, "GET", root+"providers/", nil))
	for _, reason := range []string{"the audience is another", "it has expired", "only one may fit", "no key of this id"} {
		if !strings.Contains(h.Log.String(), reason) {
			t.Errorf("the log does not say that %s", reason)
		}
	}
}

// nested is a signed JWT whose payload is a JWT.
func nested(t *testing.T, by jose.SigningKey, inner string) models.Secret {
	t.Helper()
	signer, err := jose.NewSigner(by, (&jose.SignerOptions{}).WithContentType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(inner))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return models.Secret(compact)
}

// H1: a verified token is remembered while its entry and its key are current, and a key server that is away changes
// nothing. A key that the issuer takes away, and an entry that the operator takes away, end what they verified at once.
func TestH1_ARememberedBearerEndsWithItsKeyAndItsEntry(t *testing.T) {
	t.Parallel()
	var entries []broker.TrustedIssuer
	h, issuer := trusting(t, brokertest.Options{}, func(all []broker.TrustedIssuer) { entries = all })
	status := func(token models.Secret) int {
		return h.Do(t, brokertest.Person{Token: token}, "GET", root+"providers/", nil).Status
	}
	if got := status(ofPerson(t, issuer, "linus")); got != 200 { // now the keys have been read
		t.Fatalf("before the key server went away: %d", got)
	}
	ada := ofPerson(t, issuer, "ada")
	issuer.Break(true)
	for _, token := range []models.Secret{ada, ada, ofPerson(t, issuer, "grace")} {
		if got := status(token); got != 200 {
			t.Fatalf("while the key server is away: %d", got)
		}
	}
	if err := h.Service.TrustIssuers(ctx, entries); err != nil { // the operator's file, read again while it is away
		t.Fatal(err)
	}
	if status(ada) != 200 {
		t.Error("the keys are forgotten when the list is read again")
	}
	issuer.Break(false)
	issuer.Rotate(t)
	renewed := ofPerson(t, issuer, "linus")
	if got := status(renewed); got != 401 { // an unknown key: it is read beside
		t.Errorf("a token of an unknown key: %d", got)
	}
	brokertest.Eventually(t, "the new key is known", func() bool { return status(renewed) == 200 })
	if got := status(ada); got != 401 {
		t.Errorf("a token of a key that is gone: %d", got)
	}
	stricter := slices.Clone(entries)
	stricter[1].Rules = []broker.Rule{{Claim: "groups", Value: "admins"}}
	if err := h.Service.TrustIssuers(ctx, stricter); err != nil {
		t.Fatal(err)
	}
	if got := status(renewed); got != 401 {
		t.Errorf("a token that the entry no longer fits: %d", got)
	}
}

// A5: a name belongs to one issuer for ever, whichever of the two ways its users authenticate.
func TestA5_AnEntrysNameBelongsToOneIssuer(t *testing.T) {
	t.Parallel()
	var entries []broker.TrustedIssuer
	h, _ := trusting(t, brokertest.Options{}, func(all []broker.TrustedIssuer) { entries = all })
	other := slices.Clone(entries[:1])
	other[0].Keys.Issuer = "https://elsewhere.example.com"
	if err := h.Service.TrustIssuers(ctx, other); err == nil || !strings.Contains(err.Error(), `the name "ci" belongs to the issuer`) {
		t.Errorf("%v", err)
	}
	other = slices.Clone(entries)
	other[1].Keys.Algorithms = []string{"RS256"}
	if err := h.Service.TrustIssuers(ctx, other); err == nil || !strings.Contains(err.Error(), "must be the same in all of its entries") {
		t.Errorf("%v", err)
	}
}

// A bearer token makes nothing that outlives it.
func TestA6_ABearerMakesNothingThatOutlivesIt(t *testing.T) {
	t.Parallel()
	h, issuer := trusting(t, brokertest.Options{}, nil)
	ada := h.Bearer(t, ofPerson(t, issuer, "ada"))
	want(t, 403, h.Do(t, ada, "POST", root+"apiTokens/", object{"role": "user"}))
	s := surf(t, h)
	wantPage(t, s.post("/sign-in", map[string][]string{"token": {secret(ada.Token)}}), 403, "begins no session")
	if sessions(t, h) != 0 {
		t.Error("a session was begun")
	}
}

// While no key has been read yet, no signature can be checked, and the answer says to try again.
func TestABearerWhoseIssuersKeysWereNeverReadIsAskedToWait(t *testing.T) {
	t.Parallel()
	issuer := brokertest.NewIssuer(t)
	issuer.Break(true)
	h := brokertest.New(t, &brokertest.Options{Allow: []string{issuer.Host()}, Issuers: []broker.TrustedIssuer{{Name: "corp", Keys: issuer.Source(), Audience: brokertest.Audience,
		Org: "acme", User: broker.UserClaim{Template: "sub"}, Role: models.RoleUser, Rules: []broker.Rule{{Claim: "groups", Value: "people"}}, MaxAge: time.Hour}}})
	answer := h.Do(t, brokertest.Person{Token: ofPerson(t, issuer, "ada")}, "GET", root+"providers/", nil)
	want(t, 503, answer)
	wantRetryAfter(t, answer)
	want(t, 200, h.Do(t, h.User, "GET", root+"providers/", nil))
}

// A real OpenID Connect server as a trusted issuer: its id_tokens are bearer tokens of people.
func TestARealServerIsATrustedIssuer(t *testing.T) {
	t.Parallel()
	server := oidcprovider.Start(t, oidcprovider.Options{})
	h := brokertest.New(t, &brokertest.Options{Allow: []string{strings.TrimPrefix(server.Issuer, "http://")}, Issuers: []broker.TrustedIssuer{{
		Name: "corp", Keys: providers.KeySource{Issuer: server.Issuer, Algorithms: []string{"RS256"}}, Audience: server.ClientID, Org: "acme", User: broker.UserClaim{Template: "sub"},
		Role: models.RoleUser, Rules: []broker.Rule{{Claim: "sub", Value: "ada"}}, MaxAge: 24 * time.Hour}}})
	client := h.Upstream.At(providers.Client{Type: "oidc", ID: server.ClientID, Secret: models.Secret(server.ClientSecret), Scopes: []string{"openid"},
		Config: object{"issuer": server.Issuer}})
	idToken := func(login string) models.Secret {
		verifier := providers.NewVerifier()
		address, err := client.AuthorizeURL(ctx, providers.AuthorizeRequest{State: "s", Nonce: "n", Verifier: verifier, RedirectURI: openIDCallback})
		if err != nil {
			t.Fatal(err)
		}
		back := server.Consent(t, address, login).Query()
		tokens, err := client.Exchange(ctx, providers.ExchangeRequest{Code: models.Secret(back.Get("code")), RedirectURI: openIDCallback, Verifier: verifier})
		if err != nil {
			t.Fatal(err)
		}
		return tokens.ID
	}
	ada := h.Bearer(t, idToken("ada"))
	if ada.Caller.UserID != "corp:ada" || ada.Caller.TokenID != "issuer:corp" {
		t.Errorf("the caller is %+v", ada.Caller)
	}
	a := consent(t, h, ada, h.Provider(t, "test").ID, "ada")
	want(t, 201, h.Do(t, ada, "POST", tokenOf(a), nil))
	want(t, 401, h.Do(t, brokertest.Person{Token: idToken("grace")}, "GET", root+"providers/", nil))
}
