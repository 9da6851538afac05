package contract_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// What the upstream of these tests asks of devices. Nothing here waits that long:
// the tests say when time passes.
const (
	pollEvery  = 20 * time.Second
	deviceLife = 10 * time.Minute
)

// devices is an instance and its upstream, for which time passes together.
type devices struct {
	*brokertest.Instance
	upstream *brokertest.Clock
}

func eachWithDevices(t *testing.T, o brokertest.Options, f func(*testing.T, devices)) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		o := o
		d := devices{upstream: &brokertest.Clock{}}
		o.Backend = b
		o.IdP, o.IdPURL = testidp.Start(t, testidp.Options{Now: d.upstream.Now, AutoConsent: true, CodeTTL: deviceLife, DeviceInterval: pollEvery,
			Clients: []testidp.Client{{ID: brokertest.ClientID, Secret: brokertest.ClientSecret}}})
		d.Instance = brokertest.New(t, &o)
		f(t, d)
		if n := o.IdP.Stats().DevicePolledTooFast; n != 0 {
			t.Errorf("the upstream was polled too fast %d times", n)
		}
	})
}

// replica is another process on the same database.
func (d devices) replica(t *testing.T) devices {
	t.Helper()
	h := brokertest.New(t, &brokertest.Options{DatabaseURL: d.DatabaseURL, RedisURL: d.RedisURL, Keys: d.Keys, Clock: d.Clock, IdP: d.IdP, IdPURL: d.IdPURL})
	return devices{h, d.upstream}
}

// pass lets time pass, for the upstream and for the database. PostgreSQL has a
// clock of its own: there, what is due comes nearer.
func (d devices) pass(t *testing.T, by time.Duration) {
	t.Helper()
	d.upstream.Advance(by)
	if strings.HasPrefix(d.DatabaseURL, "sqlite:") {
		d.Clock.Advance(by)
		return
	}
	i := fmt.Sprintf("make_interval(secs => %f)", by.Seconds())
	change(t, d.Instance, "UPDATE flows SET next_poll_at = next_poll_at - "+i+", expires_at = expires_at - "+i+", claimed_at = claimed_at - "+i)
	change(t, d.Instance, "UPDATE pauses SET until = until - "+i)
}

// provider registers one with the device flow switched on.
func (d devices) provider(t *testing.T, typ string) string {
	t.Helper()
	changes := object{"type": typ, "config": object{"device": true}}
	if typ == "github" {
		changes["metadata"] = object{"host": d.IdPURL}
	}
	return createID(t, d.Instance, changes)
}

// device is a consent under way on another device.
type device struct{ provider, code, userCode string }

func deviceAt(id string) string { return provider(id) + "device/" }
func pollAt(id string) string   { return deviceAt(id) + "poll/" }

func (d devices) begin(t *testing.T, providerID string) device {
	t.Helper()
	begun := want(t, 201, d.Do(t, d.User, "POST", deviceAt(providerID), nil))
	return device{providerID, text(t, begun, "deviceCode"), text(t, begun, "userCode")}
}

func (d devices) poll(t *testing.T, v device) brokertest.Answer {
	t.Helper()
	return d.pollAs(t, d.User, v)
}

func (d devices) pollAs(t *testing.T, who brokertest.Person, v device) brokertest.Answer {
	t.Helper()
	return d.Do(t, who, "POST", pollAt(v.provider), object{"deviceCode": v.code})
}

// polls is how often the upstream was asked.
func (d devices) polls() int64 { return d.IdP.Stats().Calls[testidp.DevicePoll] }

// wantWait fails unless the answer is a bare code and names the seconds to wait, 0
// for none.
func wantWait(t testing.TB, a brokertest.Answer, code string, seconds int) {
	t.Helper()
	body := want(t, 400, a)
	if body["detail"] != code {
		t.Fatalf("detail is %v, want %s", body["detail"], code)
	}
	got := a.Header.Get("Retry-After")
	if seconds == 0 && got != "" || seconds > 0 && got != fmt.Sprint(seconds) {
		t.Errorf("Retry-After is %q, want %d", got, seconds)
	}
}

// The whole journey, in both dialects.
func TestADeviceConsents(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		for typ, sub := range map[string]string{"test": "grace", "github": "2"} {
			p, before := d.provider(t, typ), d.polls()
			a := d.Do(t, d.User, "POST", strings.TrimSuffix(deviceAt(p), "/"), nil)
			begun := want(t, 201, a)
			if a.Header.Get("Cache-Control") != "no-store" || begun["expiresIn"] != deviceLife.Seconds() || begun["interval"] != pollEvery.Seconds() {
				t.Errorf("%s: begun with %v %v", typ, a.Header, begun)
			}
			page := map[string]string{"test": "/activate", "github": "/login/device"}[typ]
			if begun["verificationUri"] != d.IdPURL+page {
				t.Errorf("%s: verificationUri is %v", typ, begun["verificationUri"])
			}
			if complete, _ := begun["verificationUriComplete"].(string); typ == "test" && !strings.Contains(complete, text(t, begun, "userCode")) {
				t.Errorf("verificationUriComplete is %q", complete)
			}
			v := device{p, text(t, begun, "deviceCode"), text(t, begun, "userCode")}
			if len(v.code) != 43 {
				t.Errorf("%s: the handle is %d long", typ, len(v.code))
			}

			wait := want(t, 400, d.poll(t, v)) // at once: the upstream is not asked
			if wait["detail"] != "authorization_pending" || d.polls() != before {
				t.Errorf("%s: %v after %d polls", typ, wait, d.polls()-before)
			}
			d.pass(t, pollEvery)
			wantWait(t, d.poll(t, v), "authorization_pending", 20)
			d.IdP.ApproveDevice(v.userCode, "grace")
			again := d.poll(t, v)
			if want(t, 400, again); d.polls() != before+1 {
				t.Errorf("%s: an early poll went through", typ)
			}
			wantRetryAfter(t, again)
			d.pass(t, pollEvery)
			a = d.poll(t, v)
			done := want(t, 200, a)
			if a.Header.Get("Cache-Control") != "no-store" || d.polls() != before+2 {
				t.Errorf("%s: %v after %d polls", typ, a.Header, d.polls()-before)
			}
			wantAuthorization(t, done["authorizedProvider"].(object), want(t, 200, d.Do(t, d.User, "GET", provider(p), nil)), "ada")
			wantUser(t, done["userInfo"].(object), sub)
			id := text(t, done["authorizedProvider"].(object), "id")
			accessToken(t, d.Instance, d.User, id)
			wantUser(t, want(t, 200, d.Do(t, d.User, "GET", userinfoOf(id), nil)), sub)

			// R10: it is delivered once.
			d.pass(t, pollEvery)
			wantWait(t, d.poll(t, v), "expired_token", 0)
			if d.polls() != before+2 {
				t.Errorf("%s: a used handle asked the upstream", typ)
			}
		}
	})
}

func TestTheGoClientConsentsOnADevice(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		p := d.provider(t, "test")
		v, err := d.User.Client.BeginDevice(ctx, p)
		if err != nil || v.Interval != 20 || v.ExpiresIn != 600 {
			t.Fatalf("%+v, %v", v, err)
		}
		d.IdP.ApproveDevice(v.UserCode, "ada")
		d.pass(t, pollEvery)
		done, err := d.User.Client.PollDevice(ctx, p, v.DeviceCode)
		if err != nil || done.Authorization.ID == "" || done.User.Sub != "ada" {
			t.Errorf("%+v, %v", done, err)
		}
	})
}

// A link with the user code in it is enough, as on a phone.
func TestTheLinkWithTheCodeConsents(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		p := d.provider(t, "test")
		begun := want(t, 201, d.Do(t, d.User, "POST", deviceAt(p), nil))
		res, err := http.Get(text(t, begun, "verificationUriComplete") + "&login_hint=linus")
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%v %v", res, err)
		}
		res.Body.Close()
		d.pass(t, pollEvery)
		done := want(t, 200, d.poll(t, device{p, text(t, begun, "deviceCode"), ""}))
		if done["userInfo"].(object)["sub"] != "linus" {
			t.Errorf("%v consented", done["userInfo"])
		}
	})
}

func TestTheDeviceFlowIsOffUntilItIsSwitchedOn(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		p := createID(t, d.Instance, nil)
		if body := want(t, 409, d.Do(t, d.User, "POST", deviceAt(p), nil)); !strings.Contains(text(t, body, "message"), "config") {
			t.Errorf("it is not said how to switch it on: %v", body)
		}
		want(t, 200, d.Do(t, d.Admin, "PATCH", provider(p), object{"config": object{"device": true}}))
		v := d.begin(t, p)
		d.IdP.ApproveDevice(v.userCode, "ada")
		d.pass(t, pollEvery)

		want(t, 200, d.Do(t, d.Admin, "PATCH", provider(p), object{"config": object{"device": false}}))
		want(t, 409, d.Do(t, d.User, "POST", deviceAt(p), nil))
		want(t, 409, d.poll(t, v)) // what was begun goes no further
		want(t, 200, d.Do(t, d.Admin, "PATCH", provider(p), object{"config": object{"device": true}}))
		want(t, 200, d.poll(t, v))

		for _, status := range []string{"inactive", "disabled"} {
			want(t, 200, d.Do(t, d.Admin, "PATCH", provider(p), object{"status": status}))
			want(t, 409, d.Do(t, d.User, "POST", deviceAt(p), nil))
		}
	})
}

// An upstream that has no device flow for this client is the admin's to see to,
// and told apart from one that refuses the client.
func TestAnUpstreamThatRefusesTheDeviceFlow(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		for _, typ := range []string{"test", "github"} {
			p := d.provider(t, typ)
			for _, c := range []struct{ upstream, detail string }{
				{"device_flow_disabled", "device_flow_disabled"}, {"unauthorized_client", "unauthorized_client"}, {"invalid_client", "invalid_client"},
			} {
				d.IdP.Inject(testidp.Fault{Endpoint: testidp.Device, Error: c.upstream, Times: 1})
				if body := want(t, 502, d.Do(t, d.User, "POST", deviceAt(p), nil)); body["detail"] != c.detail {
					t.Errorf("%s: %s became %v", typ, c.upstream, body["detail"])
				}
			}
			d.IdP.Inject(testidp.Fault{Endpoint: testidp.Device, Status: 503, Times: 1})
			a := d.Do(t, d.User, "POST", deviceAt(p), nil)
			want(t, 502, a)
			wantRetryAfter(t, a)
			d.begin(t, p)
		}
	})
}

// A2: a handle works for the user who began, with the provider it was begun with,
// and as nothing else; whatever else is tried consumes nothing.
func TestA2_ADeviceCodeIsBoundToWhoBegan(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		p, other := d.provider(t, "test"), d.provider(t, "test")
		v := d.begin(t, p)
		d.IdP.ApproveDevice(v.userCode, "ada")
		d.pass(t, pollEvery)
		wantWait(t, d.pollAs(t, d.Colleague, v), "expired_token", 0)
		wantWait(t, d.pollAs(t, d.Admin, v), "expired_token", 0)
		want(t, 404, d.pollAs(t, d.Other, v))
		for _, wrong := range []device{{other, v.code, ""}, {p, v.code + "x", ""}, {p, "", ""}, {p, v.userCode, ""}, {p, begin(t, d.Instance, d.User, p, nil).State, ""}} {
			wantWait(t, d.poll(t, wrong), "expired_token", 0)
		}
		want(t, 400, d.Do(t, d.User, "POST", callback, object{"providerId": p, "state": v.code, "code": "c"}))
		wantFields(t, d.Do(t, d.User, "POST", pollAt(p), object{"deviceCode": nil}), "deviceCode")
		wantFields(t, d.Do(t, d.User, "POST", pollAt(p), object{}), "deviceCode")
		if d.polls() != 0 {
			t.Errorf("the upstream was asked %d times", d.polls())
		}
		want(t, 200, d.poll(t, v))
	})
}

// However many ask, of however many replicas, the upstream is asked once in each
// interval, and one of them gets the answer.
func TestImpatientDevicesAreHeldBack(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		replicas := []devices{d, d.replica(t)}
		v := d.begin(t, d.provider(t, "test"))
		const rounds, each = 3, 8
		var done atomic.Int64
		for round := range rounds {
			if round == rounds-1 {
				d.IdP.ApproveDevice(v.userCode, "ada")
			}
			d.pass(t, pollEvery)
			var wg sync.WaitGroup
			for i := range each {
				wg.Go(func() {
					h := replicas[i%len(replicas)]
					_, err := h.Service.PollDevice(ctx, d.User.Caller, v.provider, models.Secret(v.code))
					switch {
					case err == nil:
						done.Add(1)
					case models.CodeOf(err) != models.CodeBadRequest:
						t.Errorf("%v", err)
					}
				})
			}
			wg.Wait()
			if d.polls() != int64(round+1) {
				t.Fatalf("after %d intervals the upstream was asked %d times", round+1, d.polls())
			}
		}
		if done.Load() != 1 || grants(d.Instance) != 1 {
			t.Errorf("%d were answered, %d grants live; want 1 and 1", done.Load(), grants(d.Instance))
		}
	})
}

// Nothing is in memory: another process finishes what one has begun.
func TestADeviceFlowOutlivesItsProcess(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		v := d.begin(t, d.provider(t, "github"))
		d.pass(t, pollEvery)
		wantWait(t, d.poll(t, v), "authorization_pending", 20)
		next := d.replica(t)
		d.IdP.ApproveDevice(v.userCode, "ada")
		d.pass(t, pollEvery)
		want(t, 200, next.poll(t, v))
		wantWait(t, d.poll(t, v), "expired_token", 0)
	})
}
