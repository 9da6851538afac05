package contract_test

import (
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// failures are the reasons of all flows that failed.
func failures(t *testing.T, d devices) []string {
	return column(t, d.Instance, `SELECT failure FROM flows WHERE status = 'failed'`)
}

func wantFailure(t *testing.T, d devices, reason string) {
	t.Helper()
	if got := failures(t, d); len(got) != 1 || got[0] != reason {
		t.Errorf("flows failed as %v, want %s", got, reason)
	}
}

// Who is told to slow down does so for good: by five seconds, or as told.
func TestADeviceSlowsDown(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		v := d.begin(t, d.provider(t, "test"))
		d.IdP.Inject(testidp.Fault{Endpoint: testidp.DevicePoll, Error: "slow_down", Times: 1})
		d.pass(t, pollEvery)
		wantWait(t, d.poll(t, v), "slow_down", 25)
		d.pass(t, pollEvery)
		if wait := want(t, 400, d.poll(t, v)); wait["detail"] != "authorization_pending" || d.polls() != 1 {
			t.Errorf("%v after %d polls", wait, d.polls())
		}
		d.pass(t, 5*time.Second)
		wantWait(t, d.poll(t, v), "authorization_pending", 25)

		d.IdP.Inject(testidp.Fault{Endpoint: testidp.DevicePoll, Status: 200, ContentType: "application/json", Body: `{"error":"slow_down","interval":40}`, Times: 1})
		d.pass(t, 25*time.Second)
		wantWait(t, d.poll(t, v), "slow_down", 40)
		d.IdP.ApproveDevice(v.userCode, "ada")
		d.pass(t, 40*time.Second)
		want(t, 200, d.poll(t, v))
	})
}

func TestADeclinedDeviceStaysDeclined(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		for i, typ := range []string{"test", "github"} {
			v := d.begin(t, d.provider(t, typ))
			d.IdP.DeclineDevice(v.userCode)
			d.pass(t, pollEvery)
			for range 3 {
				wantWait(t, d.poll(t, v), "access_denied", 0)
				d.pass(t, pollEvery)
			}
			if d.polls() != int64(i+1) {
				t.Errorf("%s: the upstream was asked %d times", typ, d.polls())
			}
		}
	})
}

func TestADeviceFlowExpires(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		early, late := d.begin(t, d.provider(t, "test")), d.begin(t, d.provider(t, "test"))
		// The upstream may be the first to say so.
		d.IdP.Inject(testidp.Fault{Endpoint: testidp.DevicePoll, Error: "expired_token", Times: 1})
		d.pass(t, pollEvery)
		wantWait(t, d.poll(t, early), "expired_token", 0)
		d.pass(t, pollEvery)
		wantWait(t, d.poll(t, early), "expired_token", 0)

		d.IdP.ApproveDevice(late.userCode, "ada")
		d.pass(t, deviceLife)
		wantWait(t, d.poll(t, late), "expired_token", 0)
		if d.polls() != 1 {
			t.Errorf("the upstream was asked %d times", d.polls())
		}
	})
}

// An upstream that is down is asked less and less often; the device just waits.
func TestADeviceWaitsWhileTheUpstreamIsDown(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		v := d.begin(t, d.provider(t, "test"))
		d.IdP.Inject(testidp.Fault{Endpoint: testidp.DevicePoll, Status: 503, Times: 2})
		d.pass(t, pollEvery)
		wantWait(t, d.poll(t, v), "authorization_pending", 40)
		d.pass(t, pollEvery)
		if want(t, 400, d.poll(t, v)); d.polls() != 1 {
			t.Errorf("asked again after %v", pollEvery)
		}
		d.pass(t, pollEvery)
		wantWait(t, d.poll(t, v), "authorization_pending", 60)
		d.IdP.ApproveDevice(v.userCode, "ada")
		d.pass(t, time.Minute)
		want(t, 200, d.poll(t, v))
	})
}

// S3: what a throttling upstream asks for is respected, by every device of the provider.
func TestS3_ADeviceRespectsRetryAfter(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		p := d.provider(t, "github")
		first, second := d.begin(t, p), d.begin(t, p)
		d.IdP.Inject(testidp.Fault{Endpoint: testidp.DevicePoll, Status: 429, RetryAfter: "90", Times: 1})
		d.pass(t, pollEvery)
		wantWait(t, d.poll(t, first), "authorization_pending", 90)
		wait := d.poll(t, second)
		if want(t, 400, wait); d.polls() != 1 {
			t.Errorf("the upstream was asked %d times in its pause", d.polls())
		}
		wantRetryAfter(t, wait)
		d.IdP.ApproveDevice(first.userCode, "ada")
		d.pass(t, 90*time.Second)
		want(t, 200, d.poll(t, first))
	})
}

// A client secret that is wrong is the admin's to correct; the device goes on then.
func TestADeviceOutlivesAWrongSecret(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		p := d.provider(t, "test")
		v := d.begin(t, p)
		d.IdP.ApproveDevice(v.userCode, "ada")
		d.IdP.SetSecret(brokertest.ClientID, "another")
		d.pass(t, pollEvery)
		if body := want(t, 502, d.poll(t, v)); body["detail"] != "invalid_client" {
			t.Errorf("detail is %v", body["detail"])
		}
		want(t, 200, d.Do(t, d.Admin, "PATCH", provider(p), object{"clientSecret": "another"}))
		d.pass(t, 2*pollEvery)
		want(t, 200, d.poll(t, v))
	})
}

// R3: after a poll whose answer was lost the code may be spent. Asked again, the
// upstream says so, or that it is not.
func TestR3_APollWhoseAnswerWasLost(t *testing.T) {
	for _, typ := range []string{"test", "github"} {
		t.Run(typ, func(t *testing.T) {
			eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
				p := d.provider(t, typ)
				spent, unspent := d.begin(t, p), d.begin(t, p)
				d.IdP.ApproveDevice(spent.userCode, "ada")
				d.IdP.Inject(testidp.Fault{Endpoint: testidp.DevicePoll, ResetAfter: true, Times: 2})
				d.pass(t, pollEvery)
				wantWait(t, d.poll(t, spent), "authorization_pending", 40)
				wantWait(t, d.poll(t, unspent), "authorization_pending", 40)
				d.IdP.ApproveDevice(unspent.userCode, "grace")
				d.pass(t, 2*pollEvery)
				wantWait(t, d.poll(t, spent), "expired_token", 0)
				want(t, 200, d.poll(t, unspent))
				wantFailure(t, d, "lost_response")
			})
		})
	}
}

// R3: nobody asked again, so that nobody knows.
func TestR3_APollWhoseAnswerWasLostForGood(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		v := d.begin(t, d.provider(t, "test"))
		d.IdP.Inject(testidp.Fault{Endpoint: testidp.DevicePoll, ResetAfter: true, Times: 1})
		d.pass(t, pollEvery)
		want(t, 400, d.poll(t, v))
		d.pass(t, deviceLife)
		brokertest.Eventually(t, "the sweeper ends the flow", func() bool { return len(failures(t, d)) == 1 })
		wantFailure(t, d, "lost_response")
		wantWait(t, d.poll(t, v), "expired_token", 0)
	})
}

// R3: a process died in the middle of a poll. When nobody can be at it any more,
// the next poll is somebody else's.
func TestR3_APollThatNeverEnded(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		v := d.begin(t, d.provider(t, "test"))
		change(t, d.Instance, `UPDATE flows SET status = 'claimed', claimed_at = created_at, poll_attempt = 'of a stopped process'`)
		d.pass(t, pollEvery)
		d.IdP.ApproveDevice(v.userCode, "ada")
		want(t, 200, d.poll(t, v))
	})
}

// R10: the code is spent, and then the profile cannot be had. The device waits, and
// the code is not sent again.
func TestR10_ADevicesTokensAreKeptWhileTheProfileIsAway(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		v := d.begin(t, d.provider(t, "test"))
		d.IdP.ApproveDevice(v.userCode, "grace")
		d.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 503, Times: 1})
		d.pass(t, pollEvery)
		a := d.poll(t, v)
		wantRetryAfter(t, a)
		if body := want(t, 400, a); body["detail"] != "authorization_pending" {
			t.Errorf("detail is %v", body["detail"])
		}
		wantUser(t, want(t, 200, d.poll(t, v))["userInfo"].(object), "grace")
		if d.polls() != 1 {
			t.Errorf("the code was sent %d times", d.polls())
		}
	})
}

// R10: a device that was not answered in time is answered when it asks again.
func TestR10_ADeviceThatGaveUpWaiting(t *testing.T) {
	o := brokertest.Options{Timing: broker.Timing{CallerWait: 50 * time.Millisecond}}
	eachWithDevices(t, o, func(t *testing.T, d devices) {
		var v device
		brokertest.Eventually(t, "the upstream answers in time", func() bool {
			begun, err := d.Service.BeginDevice(ctx, d.User.Caller, d.provider(t, "test"))
			id := column(t, d.Instance, `SELECT id FROM providers ORDER BY id DESC LIMIT 1`)[0]
			v = device{id, begun.DeviceCode.Reveal(), begun.UserCode}
			return err == nil
		})
		d.IdP.ApproveDevice(v.userCode, "ada")
		d.IdP.Inject(testidp.Fault{Endpoint: testidp.DevicePoll, AnswerLatencyMS: 400, Times: 1})
		d.pass(t, pollEvery)
		wantWait(t, d.poll(t, v), "authorization_pending", 2)
		brokertest.Eventually(t, "the result is there", func() bool { return d.poll(t, v).Status == 200 })
		if d.polls() != 1 {
			t.Errorf("the code was sent %d times", d.polls())
		}
	})
}

// R10: tokens that never got an owner are revoked when the flow's time is over.
func TestR10_ADevicesTokensWithoutAnOwnerAreRevoked(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		v := d.begin(t, d.provider(t, "test"))
		d.IdP.ApproveDevice(v.userCode, "ada")
		d.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 503})
		d.pass(t, pollEvery)
		if want(t, 400, d.poll(t, v)); grants(d.Instance) != 1 {
			t.Fatal("there is no grant upstream")
		}
		d.IdP.ClearFaults()
		d.pass(t, deviceLife)
		brokertest.Eventually(t, "the ownerless tokens are revoked", func() bool { return grants(d.Instance) == 0 })
		wantWait(t, d.poll(t, v), "expired_token", 0)
	})
}

// D2: what was begun with a provider that was switched off meanwhile is not used.
func TestD2_ADeviceOfAProviderThatWasSwitchedOff(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		p := d.provider(t, "test")
		v := d.begin(t, p)
		d.IdP.ApproveDevice(v.userCode, "ada")
		d.pass(t, pollEvery)
		want(t, 200, d.Do(t, d.Admin, "PATCH", provider(p), object{"status": "inactive"}))
		want(t, 404, d.poll(t, v))
		want(t, 200, d.Do(t, d.Admin, "PATCH", provider(p), object{"status": "active"}))
		wantWait(t, d.poll(t, v), "expired_token", 0)
		if d.polls() != 0 {
			t.Errorf("the upstream was asked %d times", d.polls())
		}
	})
}

// D2: a device's poll that comes after DELETE is not made; one under way is waited
// for, and what it brings is revoked with the rest.
func TestD2_DevicesDuringADeletion(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		p := d.provider(t, "test")
		consent(t, d.Instance, d.User, p, "ada")
		late, early := d.begin(t, p), d.begin(t, p)
		d.IdP.ApproveDevice(late.userCode, "grace")
		d.IdP.ApproveDevice(early.userCode, "linus")
		d.IdP.Inject(testidp.Fault{Endpoint: testidp.DevicePoll, AnswerLatencyMS: 600, Times: 1})
		d.pass(t, pollEvery)
		polling := make(chan error)
		go func() {
			_, err := d.Service.PollDevice(ctx, d.User.Caller, p, models.Secret(early.code))
			polling <- err
		}()
		brokertest.Eventually(t, "the code is at the upstream", func() bool { return d.polls() == 1 })
		job := jobOf(t, d.Instance, d.Do(t, d.Admin, "DELETE", provider(p), nil))
		want(t, 404, d.poll(t, late))
		if err := <-polling; models.CodeOf(err) != models.CodeNotFound {
			t.Errorf("the poll under way ended with %v", err)
		}
		got := details(t, ended(t, d.Instance, job))
		if got["total"] != "2" || got["revoked"] != "2" || grants(d.Instance) != 0 || d.polls() != 1 {
			t.Errorf("%v, %d grants live, %d polls", got, grants(d.Instance), d.polls())
		}
	})
}
