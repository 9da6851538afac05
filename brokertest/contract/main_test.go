package contract_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

func TestMain(m *testing.M) { brokertest.Main(m, func() { quit() }) }

var ctx = context.Background()

const root = "/api/v2/externalOAuth/"

// object is JSON as it went over the wire.
type object = map[string]any

// nobody is a caller without a token, and impostor one with a made-up one.
var (
	nobody   = brokertest.Person{}
	impostor = brokertest.Person{Token: "grd_0197f0a0-0000-7000-8000-000000000000_made-up"}
)

// unknownID has the shape of an id and belongs to nothing.
const unknownID = "0197f0a0-0000-7000-8000-000000000000"

// each runs a test in an instance of its own on both backends.
func each(t *testing.T, f func(*testing.T, *brokertest.Instance)) {
	t.Parallel()
	eachWith(t, brokertest.Options{}, f)
}

func eachWith(t *testing.T, o brokertest.Options, f func(*testing.T, *brokertest.Instance)) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		o := o
		o.Backend = b
		f(t, brokertest.New(t, &o))
	})
}

// embedded makes an instance for what no database has a say in.
func embedded(t *testing.T) *brokertest.Instance {
	t.Parallel()
	return brokertest.New(t, nil)
}

// want fails unless the answer has the status, and returns its body. Every error
// must have the one error body.
func want(t testing.TB, status int, a brokertest.Answer) object {
	t.Helper()
	if a.Status != status {
		t.Fatalf("got %d, want %d: %.600s", a.Status, status, a.Body)
	}
	if len(a.Body) == 0 || a.Header.Get("Content-Type") == "text/event-stream" {
		return nil
	}
	body := a.JSON(t)
	if status >= 400 {
		checkError(t, a, body)
	}
	return body
}

func checkError(t testing.TB, a brokertest.Answer, body object) {
	t.Helper()
	message, _ := body["message"].(string)
	_, list := body["errorFields"].([]any)
	if message == "" || body["status"] != float64(a.Status) || !list || body["requestId"] != a.Header.Get("X-Request-Id") {
		t.Errorf("this is not the one error body: %s", a.Body)
	}
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("an error has the Content-Type %q", got)
	}
	if a.Status == 401 && a.Header.Get("WWW-Authenticate") == "" {
		t.Error("a 401 without WWW-Authenticate")
	}
}

// wantFields fails unless the answer is a 422 that names exactly these fields.
func wantFields(t testing.TB, a brokertest.Answer, names ...string) {
	t.Helper()
	var got []string
	for _, f := range list(t, want(t, 422, a)["errorFields"]) {
		got = append(got, f["name"].(string))
		if f["message"] == "" {
			t.Errorf("nothing is said about %s", f["name"])
		}
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("the wrong fields are %v, want %v: %s", got, names, a.Body)
	}
}

// wantRetryAfter fails unless the client is told when to come back.
func wantRetryAfter(t testing.TB, a brokertest.Answer) {
	t.Helper()
	if !regexp.MustCompile(`^[1-9][0-9]*$`).MatchString(a.Header.Get("Retry-After")) {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
}

func list(t testing.TB, v any) []object {
	t.Helper()
	items, ok := v.([]any)
	if !ok {
		t.Fatalf("%v is no list", v)
	}
	objects := make([]object, len(items))
	for i := range items {
		objects[i] = items[i].(object)
	}
	return objects
}

// ids returns the ids of a list's data, in order.
func ids(t testing.TB, page object) []string {
	t.Helper()
	got := []string{}
	for _, thing := range list(t, page["data"]) {
		got = append(got, thing["id"].(string))
	}
	if page["count"] != float64(len(got)) {
		t.Errorf("count is %v for %d items", page["count"], len(got))
	}
	return got
}

func text(t testing.TB, o object, name string) string {
	t.Helper()
	s, ok := o[name].(string)
	if !ok {
		t.Fatalf("%s is %v, want a string", name, o[name])
	}
	return s
}

// wantTime fails unless v is a time in RFC 3339, UTC, with Z.
func wantTime(t testing.TB, name string, v any) time.Time {
	t.Helper()
	s, _ := v.(string)
	at, err := time.Parse(time.RFC3339, s)
	if err != nil || !strings.HasSuffix(s, "Z") {
		t.Errorf("%s is %v, want a time that ends with Z", name, v)
	}
	return at
}

func decoded(t testing.TB, v any) object {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func same(a, b object) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// newProvider is a body that creates a provider at the instance's authorization
// server, with the given fields changed.
func newProvider(changes object) object {
	body := object{"name": "Test", "type": "test", "clientId": brokertest.ClientID, "clientSecret": brokertest.ClientSecret}
	for k, v := range changes {
		body[k] = v
	}
	return body
}

func create(t testing.TB, h *brokertest.Instance, changes object) object {
	t.Helper()
	return want(t, 201, h.Do(t, h.Admin, "POST", root+"providers/", newProvider(changes)))
}

func createID(t testing.TB, h *brokertest.Instance, changes object) string {
	t.Helper()
	return text(t, create(t, h, changes), "id")
}

func provider(id string) string      { return root + "providers/" + id + "/" }
func authorizeAt(id string) string   { return provider(id) + "authorize/" }
func authorization(id string) string { return root + "authorizedProviders/" + id + "/" }
func tokenOf(id string) string       { return authorization(id) + "token/" }
func userinfoOf(id string) string    { return authorization(id) + "userinfo/" }

const callback = root + "providers/callback/"

// begin asks for a consent's address.
func begin(t testing.TB, h *brokertest.Instance, who brokertest.Person, providerID string, q url.Values) broker.AuthorizeAnswer {
	t.Helper()
	if q == nil {
		q = url.Values{"redirect_uri": {brokertest.Callback}}
	}
	body := want(t, 200, h.Do(t, who, "POST", authorizeAt(providerID)+"?"+q.Encode(), nil))
	return broker.AuthorizeAnswer{RedirectURL: text(t, body, "redirectUrl"), State: text(t, body, "state")}
}

// approved is the callback's body after an account consented.
func approved(t testing.TB, h *brokertest.Instance, who brokertest.Person, providerID, account string) object {
	t.Helper()
	back := h.Approve(t, begin(t, h, who, providerID, nil), account)
	return object{"providerId": providerID, "state": back.State.Reveal(), "code": back.Code.Reveal()}
}

// consent goes the whole way, and returns the authorization's id.
func consent(t testing.TB, h *brokertest.Instance, who brokertest.Person, providerID, account string) string {
	t.Helper()
	done := want(t, 200, h.Do(t, who, "POST", callback, approved(t, h, who, providerID, account)))
	return text(t, done["authorizedProvider"].(object), "id")
}

// accessToken fetches an access token.
func accessToken(t testing.TB, h *brokertest.Instance, who brokertest.Person, authorizationID string) string {
	t.Helper()
	return text(t, want(t, 201, h.Do(t, who, "POST", tokenOf(authorizationID), nil)), "accessToken")
}

// ended polls a job until it has ended, and returns it.
func ended(t testing.TB, h *brokertest.Instance, jobID string) object {
	t.Helper()
	var job object
	brokertest.Eventually(t, "the job ends", func() bool {
		job = want(t, 200, h.Do(t, h.Admin, "GET", root+"jobs/"+jobID+"/", nil))
		return job["status"] == "COMPLETED" || job["status"] == "ERROR"
	})
	return job
}

// deleted deletes a provider and waits for the end of its job.
func deleted(t testing.TB, h *brokertest.Instance, providerID string) object {
	t.Helper()
	return ended(t, h, jobOf(t, h, h.Do(t, h.Admin, "DELETE", provider(providerID), nil)))
}

// jobOf returns the id of the job that a 202 tells the location of.
func jobOf(t testing.TB, h *brokertest.Instance, a brokertest.Answer) string {
	t.Helper()
	location := text(t, want(t, 202, a), "location")
	prefix := h.URL + root + "jobs/"
	id := strings.TrimSuffix(strings.TrimPrefix(location, prefix), "/")
	if a.Header.Get("Location") != location || location != prefix+id+"/" || id == "" {
		t.Errorf("the header says %q, the body %q", a.Header.Get("Location"), location)
	}
	return id
}

// details returns a job's details by name; values are strings or lists of them.
func details(t testing.TB, job object) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, d := range list(t, job["details"]) {
		switch v := d["value"].(type) {
		case string:
		case []any:
			for _, item := range v {
				if _, ok := item.(string); !ok {
					t.Errorf("the detail %s lists %v", d["name"], item)
				}
			}
		default:
			t.Errorf("the detail %s is %v", d["name"], v)
		}
		all[text(t, d, "name")] = d["value"]
	}
	return all
}

// change writes to the database behind the service's back, for what only time
// would bring about.
func change(t testing.TB, h *brokertest.Instance, statement string) {
	t.Helper()
	db := database(t, h)
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func database(t testing.TB, h *brokertest.Instance) *sql.DB {
	t.Helper()
	return brokertest.SQL(t, h.DatabaseURL)
}

// The access tokens of an instance age: the upstream is not told.
const (
	tokensAreDue     = `UPDATE credentials SET refresh_after = saved_at`
	tokensHaveDied   = `UPDATE credentials SET refresh_after = saved_at, expires_at = saved_at`
	statesAreTooOld  = `UPDATE flows SET expires_at = created_at`
	devicesAreDue    = `UPDATE flows SET next_poll_at = created_at`
	nothingWasFailed = `UPDATE credentials SET next_attempt_at = NULL`
)

// withdraw ends the grant of an access token at the upstream, as the person
// would on its settings page.
func withdraw(t testing.TB, h *brokertest.Instance, access string) {
	t.Helper()
	body, _ := json.Marshal(object{"access_token": access})
	target := h.IdPURL + "/api/v3/applications/" + url.PathEscape(brokertest.ClientID) + "/grant"
	r, err := http.NewRequest("DELETE", target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(brokertest.ClientID, brokertest.ClientSecret)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 204 {
		t.Fatalf("withdrawing a grant: %s", res.Status)
	}
}

func grants(h *brokertest.Instance) int64 { return h.IdP.Stats().LiveGrants }

// secret is for sending what the types do not print.
func secret(s models.Secret) string { return s.Reveal() }

func answerOf(t testing.TB, begun object) broker.AuthorizeAnswer {
	t.Helper()
	return broker.AuthorizeAnswer{RedirectURL: text(t, begun, "redirectUrl"), State: text(t, begun, "state")}
}
