package testidp

import (
	"fmt"
	"strings"
	"time"
)

// device is a device code with the request it answers, and what the person said.
type device struct {
	code, userCode string
	ask
	expires  time.Time
	interval time.Duration
	polled   time.Time // or issued: the first wait counts from then
	user     string    // who consented
	decided  bool
	used     bool
}

func (l *ledger) addDevice(v *device, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.deviceQueue) > 0 && now.Sub(l.deviceQueue[0].expires) > time.Hour { // an expired one is told so for a while
		delete(l.devices, l.deviceQueue[0].code)
		delete(l.userCodes, l.deviceQueue[0].userCode)
		l.deviceQueue = l.deviceQueue[1:]
	}
	v.UserCode = v.userCode
	l.devices[v.code], l.userCodes[v.userCode] = v, v
	l.deviceQueue = append(l.deviceQueue, v)
}

// deviceAsk finds the request behind a user code, written in any way.
func (l *ledger) deviceAsk(userCode string, now time.Time) (ask, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.waiting(userCode, now)
	if v == nil {
		return ask{}, false
	}
	return v.ask, true
}

func (l *ledger) decideDevice(userCode, login string, allow bool, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.waiting(userCode, now)
	if v == nil {
		return fmt.Errorf("no device waits for the user code %q", userCode)
	}
	if v.decided = true; allow {
		v.user = login
	}
	return nil
}

func (l *ledger) waiting(userCode string, now time.Time) *device {
	bare := strings.ToUpper(strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, userCode))
	if len(bare) != 8 {
		return nil
	}
	v := l.userCodes[bare[:4]+"-"+bare[4:]]
	if v == nil || v.decided || !now.Before(v.expires) {
		return nil
	}
	return v
}

// pollDevice is the token endpoint's side (RFC 8628 §3.4). Who polls before the
// interval is over is told to slow down, for good, and counted. A code that was
// used keeps its grant: a client whose answer was lost has to ask again.
func (l *ledger) pollDevice(code, client string, t terms) (grant, *failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.devices[code]
	if v == nil || v.Client != client {
		return grant{}, errDeviceCode
	}
	early := t.now.Before(v.polled.Add(v.interval))
	v.polled = t.now
	if early {
		l.polledTooFast++
		v.interval += 5 * time.Second
		return grant{}, errTooFast
	}
	switch {
	case v.used:
		return grant{}, errDeviceCode
	case !t.now.Before(v.expires):
		return grant{}, errExpired
	case !v.decided:
		return grant{}, errPending
	case v.user == "":
		return grant{}, errDeclined
	}
	v.used = true
	return *l.add(owner{v.Client, v.user}, v.Scope, t), nil
}
