package testidp

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// ledger holds every code, device, grant and token. One lock is enough: each operation
// is a few map accesses, nobody waits or writes to a network while holding it,
// and injected latency happens outside. Only census and expireAccess walk all
// grants.
type ledger struct {
	mu      sync.Mutex
	lastID  int64
	tokens  map[string]token
	byOwner map[owner][]*grant
	codes   map[string]*code
	queue   []*code // the codes by age, to forget the old ones

	devices, userCodes map[string]*device
	deviceQueue        []*device // by age, to forget the old ones

	refreshReused, codesReused, polledTooFast int64

	watch func(Change) // nil: nobody watches
}

// owner is whose grant it is: GitHub calls all grants of one owner "the grant".
type owner struct{ client, user string }

// grant is what one consent gave: at most one live access token and one live
// refresh token, and the refresh tokens spent before it.
type grant struct {
	id int64
	owner
	scope       string
	accessScope string // a refresh may narrow it, RFC 6749 §6
	created     time.Time
	revoked     bool
	place       int // in byOwner, so that removal need not search

	access, refresh               string
	accessExpires, refreshExpires time.Time
	spent                         []string
}

func (g *grant) accessLives(now time.Time) bool { return g.access != "" && now.Before(g.accessExpires) }
func (g *grant) refreshLives(now time.Time) bool {
	return g.refresh != "" && now.Before(g.refreshExpires)
}

type token struct {
	grant *grant
	kind  kind
}

type kind uint8

const (
	accessKind kind = iota
	refreshKind
	spentKind
)

// terms are what a new pair of tokens is issued under. The tokens are drawn
// before the lock is taken; no refresh token means: issue none, rotate none.
type terms struct {
	now                           time.Time
	access, refresh               string
	accessExpires, refreshExpires time.Time
}

// code is an authorization code: the request it answers, and who consented.
type code struct {
	value string
	ask
	user    string
	expires time.Time
	used    bool
	grant   *grant
}

func newLedger() *ledger {
	l := &ledger{}
	l.reset()
	return l
}

func (l *ledger) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens = make(map[string]token)
	l.byOwner = make(map[owner][]*grant)
	l.codes = make(map[string]*code)
	l.queue = nil
	l.devices, l.userCodes, l.deviceQueue = make(map[string]*device), make(map[string]*device), nil
	l.refreshReused, l.codesReused, l.polledTooFast = 0, 0, 0
}

func (l *ledger) addCode(c *code, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 && !now.Before(l.queue[0].expires) {
		delete(l.codes, l.queue[0].value)
		l.queue = l.queue[1:]
	}
	l.codes[c.value] = c
	l.queue = append(l.queue, c)
}

// redeem exchanges a code, once. Whatever is presented with it, the code is
// spent by the first try of its client; a second use takes back what the first
// one gave (RFC 6749 §4.1.2).
func (l *ledger) redeem(p proof, t terms) (grant, *failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.codes[p.code]
	if c == nil || c.Client != p.client {
		return grant{}, errCode
	}
	if c.used {
		l.codesReused++
		l.kill(c.grant)
		return grant{}, errCode
	}
	c.used = true
	if fail := p.check(c, t.now); fail != nil {
		return grant{}, fail
	}
	c.grant = l.add(owner{c.Client, c.user}, c.Scope, t)
	return *c.grant, nil
}

// userOf is whose token it is or was; "" for one that was never issued.
func (l *ledger) userOf(value string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := l.tokens[value]; ok {
		return t.grant.user
	}
	return ""
}

// open makes a grant without the ceremony of a code.
func (l *ledger) open(o owner, scope string, t terms) grant {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *l.add(o, scope, t)
}

// refreshTokens spends a refresh token. A token that was spent before is a
// sign of theft and ends the grant (RFC 9700 §4.14.2).
func (l *ledger) refreshTokens(value, client, scope string, t terms) (grant, *failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tok, ok := l.tokens[value]
	if !ok || tok.kind == accessKind || tok.grant.client != client {
		return grant{}, errRefresh
	}
	g := tok.grant
	switch {
	case tok.kind == spentKind:
		l.refreshReused++
		l.kill(g)
		return grant{}, errRefresh
	case !g.refreshLives(t.now):
		return grant{}, errRefresh
	case !within(scope, g.scope):
		return grant{}, errScope
	}
	l.renew(g, t)
	if scope != "" {
		g.accessScope = scope
	}
	return *g, nil
}

// find returns the grant of a live access token, of any client when client is
// empty.
func (l *ledger) find(access, client string, now time.Time) (grant, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.live(access, client, now)
	if g == nil {
		return grant{}, false
	}
	return *g, true
}

// inspect is introspection: the grant of a live token of this client.
func (l *ledger) inspect(value, client string, now time.Time) (grant, kind, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.live(value, client, now); g != nil {
		return *g, accessKind, true
	}
	tok, ok := l.tokens[value]
	if !ok || tok.kind != refreshKind || tok.grant.client != client || !tok.grant.refreshLives(now) {
		return grant{}, 0, false
	}
	return *tok.grant, refreshKind, true
}

// revoke ends a token as RFC 7009 §2.1 has it: a refresh token takes its grant
// along, an access token goes alone. A spent refresh token is invalid already,
// and revoking an invalid token does nothing.
func (l *ledger) revoke(value, client string) *failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	tok, ok := l.tokens[value]
	switch {
	case !ok || tok.kind == spentKind:
		return nil
	case tok.grant.client != client:
		return errForeign
	case tok.kind == refreshKind:
		l.kill(tok.grant)
	default:
		l.dropAccess(tok.grant)
	}
	return nil
}

// endAll kills every grant of the token's owner: GitHub's DELETE …/grant.
func (l *ledger) endAll(access, client string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.live(access, client, now)
	if g == nil {
		return false
	}
	for _, sibling := range slices.Clone(l.byOwner[g.owner]) {
		l.kill(sibling)
	}
	return true
}

// endOne kills one access token: GitHub's DELETE …/token.
func (l *ledger) endOne(access, client string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.live(access, client, now)
	if g == nil {
		return false
	}
	l.dropAccess(g)
	return true
}

// replace puts a new access token in the place of a live one and leaves the
// refresh token alone: GitHub's PATCH …/token.
func (l *ledger) replace(access, client string, t terms) (grant, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.live(access, client, t.now)
	if g == nil {
		return grant{}, false
	}
	t.refresh = ""
	l.renew(g, t)
	return *g, true
}

func (l *ledger) expireAccess(now time.Time) (expired int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, grants := range l.byOwner {
		for _, g := range grants {
			if g.accessLives(now) {
				g.accessExpires = now
				expired++
			}
		}
	}
	return expired
}

// census fills in what lives.
func (l *ledger) census(now time.Time, s *Stats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.RefreshReused, s.CodesReused, s.DevicePolledTooFast = l.refreshReused, l.codesReused, l.polledTooFast
	for o, grants := range l.byOwner {
		for _, g := range grants {
			access, refresh := count(g.accessLives(now)), count(g.refreshLives(now))
			s.LiveAccessTokens += access
			s.LiveRefreshTokens += refresh
			s.LiveGrants += access | refresh
			s.LiveGrantsByClient[o.client] += access | refresh
		}
	}
}

func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// The callers hold the lock of everything below.

func (l *ledger) live(access, client string, now time.Time) *grant {
	tok, ok := l.tokens[access]
	if !ok || tok.kind != accessKind || !tok.grant.accessLives(now) {
		return nil
	}
	if client != "" && tok.grant.client != client {
		return nil
	}
	return tok.grant
}

func (l *ledger) add(o owner, scope string, t terms) *grant {
	l.lastID++
	g := &grant{id: l.lastID, owner: o, scope: scope, accessScope: scope, created: t.now, place: len(l.byOwner[o])}
	l.byOwner[o] = append(l.byOwner[o], g)
	l.renew(g, t)
	return g
}

// renew gives the grant new tokens; the old access token dies at once.
func (l *ledger) renew(g *grant, t terms) {
	l.end(g, g.access, false)
	g.access, g.accessExpires, g.accessScope = t.access, t.accessExpires, g.scope
	l.tokens[g.access] = token{g, accessKind}
	l.tell(Change{Token: g.access, Client: g.client, User: g.user, At: t.now, Expires: g.accessExpires})
	if t.refresh == "" {
		return
	}
	if g.refresh != "" {
		l.end(g, g.refresh, true)
		l.tokens[g.refresh] = token{g, spentKind}
		g.spent = append(g.spent, g.refresh)
	}
	g.refresh, g.refreshExpires = t.refresh, t.refreshExpires
	l.tokens[g.refresh] = token{g, refreshKind}
	l.tell(Change{Token: g.refresh, Refresh: true, Client: g.client, User: g.user, At: t.now, Expires: g.refreshExpires})
}

// end removes a token that the grant had.
func (l *ledger) end(g *grant, value string, refresh bool) {
	if _, lives := l.tokens[value]; !lives {
		return
	}
	delete(l.tokens, value)
	l.tell(Change{Token: value, Refresh: refresh, Client: g.client, User: g.user, Ended: true})
}

func (l *ledger) tell(c Change) {
	if l.watch != nil {
		l.watch(c)
	}
}

func (l *ledger) dropAccess(g *grant) {
	l.end(g, g.access, false)
	g.access = ""
	if g.refresh == "" {
		l.kill(g)
	}
}

func (l *ledger) kill(g *grant) {
	if g == nil || g.revoked {
		return
	}
	g.revoked = true
	for _, t := range g.spent { // these ended when they were spent
		delete(l.tokens, t)
	}
	l.end(g, g.access, false)
	l.end(g, g.refresh, true)
	l.leave(g)
}

// leave takes the grant out of its owner's list by moving the last one into
// its place.
func (l *ledger) leave(g *grant) {
	grants := l.byOwner[g.owner]
	last := len(grants) - 1
	grants[g.place] = grants[last]
	grants[g.place].place = g.place
	grants[last] = nil
	l.byOwner[g.owner] = grants[:last]
	if last == 0 {
		delete(l.byOwner, g.owner)
	}
}

// within says whether every scope asked for was granted.
func within(asked, granted string) bool {
	have := strings.Fields(granted)
	for _, s := range strings.Fields(asked) {
		if !slices.Contains(have, s) {
			return false
		}
	}
	return true
}
