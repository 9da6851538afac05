package simulation

import (
	"fmt"
	"sync"
	"time"

	"github.com/grantd/grantd/testidp"
)

// ledger is what the upstream knows of each token, and of what it was asked. It is what
// the invariants are judged by.
type ledger struct {
	w       *world
	mu      sync.Mutex
	tokens  map[string]*issued
	count   map[string]int // tokens of each person, for their names
	calls   []*call
	current *call // being answered
	brought map[string]string
}

// issued is a token.
type issued struct {
	name    string
	refresh bool
	owner   string // client and account
	at      time.Time
	expires time.Time
	ended   time.Time // zero while it is accepted
	endedBy *call
	savedAt int    // the step at which it was seen in a credential, 0 for none
	in      string // the authorization whose credential that was
}

func newLedger(w *world) *ledger {
	return &ledger{w: w, tokens: map[string]*issued{}, count: map[string]int{}, brought: map[string]string{}}
}

// watch is told by the server.
func (l *ledger) watch(c testidp.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.Ended {
		owner := c.User + " at " + l.w.placeOf(c.Client)
		kind := "access token"
		if c.Refresh {
			kind = "refresh token"
		}
		l.count[owner+kind]++
		l.tokens[c.Token] = &issued{name: fmt.Sprintf("%s %d of %s", kind, l.count[owner+kind], owner), refresh: c.Refresh, owner: owner, at: c.At, expires: c.Expires}
		if l.current != nil {
			if c.Refresh {
				l.current.brought.Refresh = c.Token
			} else {
				l.current.brought.Access = c.Token
			}
		}
		return
	}
	if t := l.tokens[c.Token]; t != nil {
		t.ended, t.endedBy = time.Now(), l.current
		if l.current != nil {
			l.current.ended = append(l.current.ended, c.Token)
		}
		if l.current == nil || !l.current.refreshes() || c.Token != l.current.presented { // a replaced token that is sent again ends those that came of it
			l.w.followEnd(c.Token)
		}
	}
}

func (l *ledger) nameOf(token string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tokens[token]; t != nil {
		return t.name
	}
	return "an unknown token"
}

// begin is called as a request arrives.
func (l *ledger) begin(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tokens[c.presented]; t != nil {
		c.owner = t.owner
		if t.savedAt == 0 && c.refreshes() {
			t.savedAt = l.w.tick() // whoever sends it has read it
		}
	}
	l.w.judgeArrival(c)
	l.calls = append(l.calls, c)
	l.current = c
}

// end is called when it has been worked on.
func (l *ledger) end(c *call, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = nil
	c.status = status
	if c.refreshes() && c.brought.Refresh != "" {
		l.brought[c.presented] = c.brought.Refresh
	}
	l.w.followAnswered(c)
	l.w.judgeEnded(c)
	l.w.logf("the upstream answers %d to %s, %s%s", status, c.replica.name, c.actor, l.effects(c))
}

func (l *ledger) effects(c *call) (text string) {
	if t := l.tokens[c.brought.Access]; t != nil {
		text += "; it issues " + t.name
	}
	if t := l.tokens[c.brought.Refresh]; t != nil {
		text += " and " + t.name
	}
	for _, e := range c.ended {
		text += "; " + l.tokens[e].name + " ends"
	}
	return text
}

// lost is called where the answer did not arrive: grantd does not know what it did.
func (l *ledger) lost(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose(c, 0)
}

// lose counts a refresh whose tokens were lost: they were not saved, or not yet when whoever sends
// its refresh token again looked at the row, at a step other than 0. The ledger is locked.
func (l *ledger) lose(c *call, looked int) {
	if !c.refreshes() || c.brought.Access == "" || c.lost {
		return
	}
	if saved := l.tokens[c.brought.Access].savedAt; saved == 0 || looked != 0 && saved > looked {
		c.lost = true
		l.w.lostAnswers++
	}
}

func (l *ledger) returned(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.over = true
}

// running is a refresh of the same person's tokens whose caller still waits for the
// answer, or was killed while its lease had not run out.
func (l *ledger) running(than *call) *call {
	for _, c := range l.calls {
		if c == than || !c.refreshes() || c.owner != than.owner {
			continue
		}
		if !c.over && !c.replica.dead && (l.w.postgres == nil || time.Since(c.leasedAt) < realLease) {
			return c
		}
		if !c.over && l.w.now().Before(c.lease.until) {
			return c
		}
	}
	return nil
}
