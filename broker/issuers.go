package broker

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/singleflight"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
)

// Bearer tokens of trusted issuers are accepted beside API tokens: programs that their platform gives an identity, such
// as a Kubernetes service account or a CI job, need no secret of ours.

// TrustedIssuer is one entry of the list of trusted issuers: which of an issuer's bearer tokens are accepted, and whom
// they authenticate. An issuer may have several entries.
type TrustedIssuer struct {
	Name string // of the entry, and before the names of its users (A5)
	Keys providers.KeySource
	// Audience must be in the token's aud. Where aud names others too, the token is refused unless SharedAudience.
	Audience       string
	SharedAudience bool
	Rules          []Rule // all of them must fit
	Org            string // the organisation of everybody whose token matches this entry
	User           UserClaim
	Role           models.Role // user or service
	Providers      []string    // ids or slugs of those that it is limited to; none for no limit, which a service must have
	MaxAge         time.Duration
}

// Rule is what a claim must be: exactly a text, or one that begins with it. Numbers count as they are written; of a list
// one element must fit. A claim that is absent never does.
type Rule struct {
	Claim, Value string
	Prefix       bool
}

func (r Rule) fits(claims map[string]any) bool {
	return slices.ContainsFunc(written(claims[r.Claim]), func(text string) bool {
		return text == r.Value || r.Prefix && strings.HasPrefix(text, r.Value)
	})
}

// written are the texts of a claim, and its numbers as they are written.
func written(claim any) []string {
	switch v := claim.(type) {
	case json.Number:
		return []string{v.String()}
	case []any:
		var all []string
		for _, one := range v {
			if n, ok := one.(json.Number); ok {
				all = append(all, n.String())
			}
		}
		return append(all, texts(v)...)
	}
	return texts(claim)
}

// UserClaim says what a bearer is called: a claim, or several of them with texts between, such as
// "{namespace_id}:{project_id}".
type UserClaim struct {
	Template string
	// Shared says that the result is the name that backends and API tokens use: it is taken as it is.
	Shared bool
}

// separators may stand between two claims of a template. No claim may have the one that stands beside it, so that two
// bearers never get one name.
const separators = ":/"

// parts are the texts of a template and the claims in it, in turn, beginning with a text.
func (u UserClaim) parts() ([]string, error) {
	if !strings.ContainsAny(u.Template, "{}") {
		return []string{"", u.Template, ""}, nil
	}
	var parts []string
	rest := u.Template
	for {
		text, after, more := strings.Cut(rest, "{")
		parts = append(parts, text)
		if strings.Contains(text, "}") || models.Unprintable(text) > 0 {
			return nil, errTemplate
		}
		if !more {
			return parts, nil
		}
		if len(parts) > 1 && (len(text) != 1 || !strings.Contains(separators, text)) {
			return nil, errTemplate
		}
		claim, behind, closed := strings.Cut(after, "}")
		if !closed || claim == "" {
			return nil, errTemplate
		}
		parts, rest = append(parts, claim), behind
	}
}

var errTemplate = errors.New("must be a claim such as sub, or a template of claims in braces with a single : or / between two of them, such as {namespace_id}:{project_id}")

// Claims are those that the name is made of. An error says what is wrong with the template.
func (u UserClaim) Claims() ([]string, error) {
	parts, err := u.parts()
	var claims []string
	for i := 1; i < len(parts); i += 2 {
		claims = append(claims, parts[i])
	}
	return claims, err
}

// userOf is what the claims make of a bearer, false where they make no user.
func (t TrustedIssuer) userOf(claims map[string]any) (string, bool) {
	parts, err := t.User.parts()
	if err != nil {
		return "", false
	}
	name := parts[0]
	for i := 1; i < len(parts); i += 2 {
		value := written(claims[parts[i]])
		if _, list := claims[parts[i]].([]any); list || len(value) != 1 || value[0] == "" || strings.ContainsRune(value[0], utf8.RuneError) {
			return "", false
		}
		before, behind := i > 1 && strings.Contains(value[0], parts[i-1]), i+2 < len(parts) && strings.Contains(value[0], parts[i+1])
		if before || behind {
			return "", false
		}
		name += value[0] + parts[i+1]
	}
	if t.User.Shared {
		return name, models.ValidIdentity(name) && !models.IsMachine(name)
	}
	return models.IssuersUser(t.Name, name)
}

// judge says why a verified token of the issuer does not fit the entry, "" where it does.
func (t TrustedIssuer) judge(claims map[string]any, now time.Time) string {
	if reason := t.judgeTimes(claims, now); reason != "" {
		return reason
	}
	if reason := t.judgeAudience(claims["aud"]); reason != "" {
		return reason
	}
	for _, r := range t.Rules {
		if !r.fits(claims) {
			return fmt.Sprintf("the claim %q does not fit its rule", r.Claim)
		}
	}
	if _, ok := t.userOf(claims); !ok {
		return "the claims make no usable user"
	}
	return ""
}

func (t TrustedIssuer) judgeAudience(claim any) string {
	audience := texts(claim)
	list, _ := claim.([]any)
	switch {
	case !slices.Contains(audience, t.Audience):
		return "the audience is another"
	case len(list) > len(audience), !t.SharedAudience && slices.ContainsFunc(audience, func(other string) bool { return other != t.Audience }):
		return "the audience names others too, and sharedAudience is not set"
	}
	return ""
}

// judgeTimes compares the times of a token with the clock, give or take a minute.
func (t TrustedIssuer) judgeTimes(claims map[string]any, now time.Time) string {
	ends, ok := seconds(claims["exp"])
	if !ok {
		return "it has no usable exp"
	}
	begins := now
	for _, name := range []string{"nbf", "iat"} {
		if claims[name] == nil {
			continue
		}
		at, ok := seconds(claims[name])
		if !ok || at.After(now.Add(issuerDrift)) {
			return "it is from the future"
		}
		begins = at
	}
	switch {
	case !now.Before(ends.Add(issuerDrift)):
		return "it has expired"
	case ends.Sub(begins) > t.MaxAge:
		return "it lives for longer than maxAge"
	}
	return ""
}

// seconds reads a time as JWTs have it. Times that no clock shows are none.
func seconds(claim any) (time.Time, bool) {
	n, ok := claim.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > float64(math.MaxInt32)*100 {
		return time.Time{}, false
	}
	return time.Unix(int64(f), 0), true
}

// issuers are the trusted issuers in force, by their URL. They are replaced as a whole.
type issuers map[string]*issuer

// issuer is one of them, with the tokens of it that are remembered.
type issuer struct {
	source  providers.KeySource
	keys    *providers.IssuerKeys
	entries []*issuerEntry

	mu      sync.RWMutex
	bearers map[[sha256.Size]byte]bearer
	told    map[string]time.Time // when a refusal was logged last, by its reason
}

// issuerEntry is an entry with the providers that its names stood for last.
type issuerEntry struct {
	TrustedIssuer
	limits  atomic.Pointer[issuerLimits]
	lookups singleflight.Group // of the limits; the entry's own, since one of the same name may come with another file
}

type issuerLimits struct {
	ids   []string
	until time.Time
}

// bearer is a token that was verified: whom it authenticates, and what that depends on.
type bearer struct {
	entry  *issuerEntry
	key    providers.KeyMark
	user   string
	sub    string
	mayAct *party
	ends   time.Time // when the token expires
	until  time.Time // how long it is remembered
}

// TrustIssuers puts a list of trusted issuers in force, instead of the one before. Keys whose source is the same are kept.
// On an error nothing has changed.
func (s *Service) TrustIssuers(ctx context.Context, list []TrustedIssuer) error {
	all, before := issuers{}, *s.issuers.Load()
	for _, t := range list {
		if err := s.bindIssuerName(ctx, t.Name, t.Keys.Issuer); err != nil {
			return fmt.Errorf("trusted issuer %q: %w", t.Name, err)
		}
		i := all[t.Keys.Issuer]
		if i == nil {
			i = &issuer{source: t.Keys, bearers: map[[sha256.Size]byte]bearer{}, told: map[string]time.Time{}}
			if old := before[t.Keys.Issuer]; old != nil && reflect.DeepEqual(old.source, t.Keys) {
				i.keys = old.keys
			} else if err := s.readIssuerKeys(i, t.Keys); err != nil {
				return fmt.Errorf("trusted issuer %q: the address of its keys %w", t.Name, err)
			}
			all[t.Keys.Issuer] = i
		}
		if !reflect.DeepEqual(i.source, t.Keys) {
			return fmt.Errorf("trusted issuer %q: another entry for the same issuer takes the keys from elsewhere, or allows other algorithms; they must be the same in all of its entries", t.Name)
		}
		i.entries = append(i.entries, &issuerEntry{TrustedIssuer: t})
	}
	s.issuers.Store(&all)
	return nil
}

func (s *Service) readIssuerKeys(i *issuer, source providers.KeySource) (err error) {
	i.keys, err = s.upstream.IssuerKeys(source, func(err error) {
		s.log.Warn("the keys of a trusted issuer could not be read; those that were read before are used for a day, and reading is tried again within minutes", "issuer", source.Issuer, "error", err)
	})
	return err
}

// presentBearer tells whom a token of a trusted issuer authenticates. Whatever is wrong with the token, the answer is the same;
// the log has the reason.
func (s *Service) presentBearer(ctx context.Context, token string) (presented, error) {
	all := *s.issuers.Load()
	if len(all) == 0 {
		return presented{}, errBadToken
	}
	if len(token) > providers.MaxBearer {
		return presented{}, errBadBearer
	}
	now, hash := time.Now(), sha256.Sum256([]byte(token))
	i, b, known := all.remembered(hash, now)
	if !known {
		claimed, _ := providers.BearerIssuer(token)
		if i = all[claimed]; i == nil {
			return presented{}, errBadBearer
		}
		var reason string
		var err error
		if b, reason, err = i.verify(ctx, token, now); err != nil {
			return presented{}, err
		}
		if reason != "" {
			s.tellRefusal(i, reason, now)
			return presented{}, errBadBearer
		}
		i.remember(hash, b, now)
	}
	limits, err := s.limitsOfIssuer(ctx, b.entry, now)
	c := models.Caller{OrgID: b.entry.Org, UserID: b.user, Role: b.entry.Role, TokenID: issuerPrefix + b.entry.Name, Providers: limits, EndsAt: b.ends}
	return presented{Caller: c, issuer: i.source.Issuer, sub: b.sub, mayAct: b.mayAct}, err
}

// issuerPrefix begins the token id of whom an issuer identified.
const issuerPrefix = "issuer:"

var errBadBearer = models.Errorf(models.CodeUnauthenticated, "The bearer token is neither an API token nor a token of a trusted issuer that is accepted here. Its issuer, signature, audience, times and claims must fit an entry of the operator's list; the log of grantd has the reason.")

// verify judges a token from its signature on. It returns why it is refused, and an error where that cannot be told.
func (i *issuer) verify(ctx context.Context, token string, now time.Time) (bearer, string, error) {
	claims, key, err := i.keys.Verify(ctx, token)
	switch {
	case errors.Is(err, providers.ErrKeysUnread):
		return bearer{}, "", &models.Error{Code: models.CodeUnavailable, Err: err, RetryAfter: tryIssuer,
			Message: "The bearer token cannot be verified, because the keys of its issuer could not be read. Try again shortly."}
	case err != nil:
		return bearer{}, err.Error(), nil
	}
	if iss, _ := claims["iss"].(string); iss != i.source.Issuer {
		return bearer{}, "the issuer is named twice", nil
	}
	var fits []*issuerEntry
	var reasons []string
	for _, e := range i.entries {
		if reason := e.judge(claims, now); reason != "" {
			reasons = append(reasons, e.Name+": "+reason)
		} else {
			fits = append(fits, e)
		}
	}
	switch {
	case len(fits) == 0:
		return bearer{}, strings.Join(reasons, "; "), nil
	case len(fits) > 1:
		return bearer{}, "it fits the entries " + fits[0].Name + " and " + fits[1].Name + ", and only one may fit", nil
	}
	user, _ := fits[0].userOf(claims)
	ends, _ := seconds(claims["exp"])
	sub, _ := claims["sub"].(string)
	return bearer{entry: fits[0], key: key, user: user, sub: sub, mayAct: mayAct(claims, i.source.Issuer), ends: ends, until: ends}, "", nil
}

// mayAct is who may act for the bearer, nil where the token does not say. What it says and cannot be read is nobody.
func mayAct(claims map[string]any, issuer string) *party {
	said, ok := claims["may_act"]
	if !ok {
		return nil
	}
	actor, _ := said.(map[string]any)
	p := &party{issuer: issuer}
	p.sub, _ = actor["sub"].(string)
	if other, ok := actor["iss"]; ok {
		p.issuer, _ = other.(string)
	}
	return p
}

// remembered finds a token that was verified before, with its issuer. That is faster than reading from the token who issued
// it.
func (all issuers) remembered(hash [sha256.Size]byte, now time.Time) (*issuer, bearer, bool) {
	for _, i := range all {
		if b, known := i.remembered(hash, now); known {
			return i, b, true
		}
	}
	return nil, bearer{}, false
}

// remembered finds a token that was verified before, while its time, its entry and its key last (H1). The entry lasts as
// long as the issuer does here.
func (i *issuer) remembered(hash [sha256.Size]byte, now time.Time) (bearer, bool) {
	i.mu.RLock()
	b, ok := i.bearers[hash]
	i.mu.RUnlock()
	return b, ok && now.Before(b.until) && i.keys.Current(b.key)
}

// remember keeps a verified token until it expires, for five minutes at most. Where the issuer's share is full, any other
// makes room.
func (i *issuer) remember(hash [sha256.Size]byte, b bearer, now time.Time) {
	if latest := now.Add(bearerLife); b.until.After(latest) {
		b.until = latest
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for other := range i.bearers {
		if len(i.bearers) < bearerLimit {
			break
		}
		delete(i.bearers, other)
	}
	i.bearers[hash] = b
}

// tellRefusal logs why a token was refused, each reason of an issuer once a minute: anybody can send such tokens.
func (s *Service) tellRefusal(i *issuer, reason string, now time.Time) {
	i.mu.Lock()
	last, told := i.told[reason]
	again := !told || now.Sub(last) >= refusalToldAgain
	if again {
		if len(i.told) >= refusalsTold {
			clear(i.told)
		}
		i.told[reason] = now
	}
	i.mu.Unlock()
	if again {
		s.log.Warn("a bearer token of a trusted issuer was refused; this is logged once a minute for each reason", "issuer", i.source.Issuer, "reason", reason)
	}
}

// limitsOfIssuer are the ids of the providers that an entry is limited to, nil where it is not. Slugs are looked up at
// most every ten seconds. A name that no provider has stays in the list: it is the id of none, so nothing becomes
// unlimited because a provider is not there yet.
func (s *Service) limitsOfIssuer(ctx context.Context, e *issuerEntry, now time.Time) ([]string, error) {
	if len(e.Providers) == 0 {
		return nil, nil
	}
	if known := e.limits.Load(); known != nil && now.Before(known.until) {
		return known.ids, nil
	}
	found, err, _ := e.lookups.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pollTimeout)
		defer cancel()
		return s.resolveLimits(ctx, e.TrustedIssuer)
	})
	if err != nil {
		return nil, err
	}
	ids := found.([]string)
	e.limits.Store(&issuerLimits{ids, now.Add(callerLife)})
	return ids, nil
}

func (s *Service) resolveLimits(ctx context.Context, t TrustedIssuer) ([]string, error) {
	ids := make([]string, 0, len(t.Providers))
	for _, name := range t.Providers {
		p, err := s.namedProvider(ctx, models.Caller{OrgID: t.Org}, name)
		switch {
		case err == nil:
			name = p.ID
		case models.CodeOf(err) != models.CodeNotFound:
			return nil, fmt.Errorf("looking up the providers of a trusted issuer: %w", err)
		}
		ids = append(ids, name)
	}
	return ids, nil
}

// issuerServices are the services of an organisation that authenticate with tokens of trusted issuers, as people see them.
func (s *Service) issuerServices(ctx context.Context, org string) ([]models.APIToken, error) {
	var all []models.APIToken
	for _, i := range *s.issuers.Load() {
		for _, e := range i.entries {
			if e.Org != org || e.Role != models.RoleService {
				continue
			}
			limits, err := s.limitsOfIssuer(ctx, e, time.Now())
			if err != nil {
				return nil, err
			}
			all = append(all, models.APIToken{OrgID: org, UserID: e.Name, Role: e.Role, Providers: limits})
		}
	}
	slices.SortFunc(all, func(a, b models.APIToken) int { return strings.Compare(a.UserID, b.UserID) })
	return all, nil
}

// bindIssuerName ties an issuer's name to its URL for ever: under another URL other people would become the same users
// (A5).
func (s *Service) bindIssuerName(ctx context.Context, name, url string) error {
	bound, err := s.store.StateMeta(ctx, issuerPrefix+name, []byte(url))
	if err != nil {
		return fmt.Errorf("reading the issuer's name: %w", err)
	}
	if string(bound) != url {
		return fmt.Errorf("the name %q belongs to the issuer %s in this database, and its users are named after it; choose another name for another issuer", name, bound)
	}
	return nil
}
