package broker

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/url"
	"regexp"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// A person opens a connect link in a browser. Its address uses nothing up; the button begins the consent, and from then on
// the link lives in that browser, which keeps a secret. What comes back to any other browser finds nothing.

// LinkVisitor is a browser at a connect link.
type LinkVisitor struct {
	// Secret is what the browser keeps for this link; "" for none.
	Secret models.Secret
	// Person is who is signed in there, nil for nobody.
	Person *Visitor
}

// LinkPage is what the page of a connect link tells.
type LinkPage struct {
	Link         models.ConnectLink
	Provider     models.Provider
	ProviderHost string // where the person consents, "" where that is not known yet
	ReturnHost   string // where the browser returns to, "" where it stays here
	Scopes       []string
	Secret       models.Secret // for the form of the button, and then for the browser to keep
}

// LinkReturn is where a connect link leads in the end.
type LinkReturn struct {
	Link models.ConnectLink
	// To is the app's address with what became of the link, "" where the link has none.
	To string
	// Origin is that of To. Result and Error are what To tells, each may be "".
	Origin        string
	Result, Error string
}

// NewLinkSecret makes what a browser keeps for a link from the press of the button on.
func NewLinkSecret() models.Secret { return models.Secret(randomText()) }

var (
	// ErrNoLink is the answer to an address that belongs to no connect link.
	ErrNoLink = models.Errorf(models.CodeNotFound, "There is no such link. Perhaps it was cut short on its way to you, or it is over for long: go back to the application that you have it from.")
	// ErrLinkSignIn is the answer where the person has to sign in first.
	ErrLinkSignIn = models.Errorf(models.CodeUnauthenticated, "Sign in to open this link.")

	errSignedOutMeanwhile = models.Errorf(models.CodeForbidden, "You were signed out meanwhile. Sign in again in another window, and load this page again.")
	errLinkElsewhere      = models.Errorf(models.CodeGone, "This link was opened in another browser, or was used already. Go back to the application and ask for another one. If somebody sent you this link, do not ask for another: it was not made for you.")
	errLinkNotYours       = models.Errorf(models.CodeForbidden, "This link is for somebody else than the person who is signed in here. Nothing was changed. If somebody sent it to you, close this page; if you have two users here, sign in as the other one.")
)

// linkEnds tell people how links ended.
var linkEnds = map[models.LinkEnd]string{
	models.LinkDone:        "The account is connected already. You can close this page.",
	models.LinkDenied:      "You chose not to connect. Nothing was connected.",
	models.LinkExpired:     "This link is over: it was not used in time. Nothing was connected. Go back to the application and ask for another one.",
	models.LinkWithdrawn:   "The application has taken this link back. Nothing was connected.",
	models.LinkUserRevoked: "This link is over: everything that was connected for you was revoked meanwhile. Nothing was connected.",
	models.LinkAnotherUser: "This link was for somebody else. Nothing was connected, and what was granted is being revoked.",
}

func linkEnded(l models.ConnectLink) error {
	how := l.Error
	if l.Status == models.LinkConnected {
		how = models.LinkDone
	}
	text := linkEnds[how]
	if text == "" {
		text = "This link is over, and nothing was connected. Go back to the application and ask for another one."
	}
	return &models.Error{Code: models.CodeGone, Message: text, Detail: string(how)}
}

// LinkPage describes a link to somebody who may open it, or says why it cannot be opened there. It changes nothing.
// secretOf returns what the browser keeps for the link with an id.
func (s *Service) LinkPage(ctx context.Context, key models.Secret, secretOf func(link string) models.Secret, person *Visitor) (LinkPage, error) {
	l, f, err := s.linkByKey(ctx, key)
	if err != nil {
		return LinkPage{}, err
	}
	page := LinkPage{Link: l}
	v := LinkVisitor{secretOf(l.ID), person}
	if _, err := s.mayOpen(l, f, v); err != nil {
		return page, err
	}
	p, err := s.activeProvider(ctx, l.Caller(), l.ProviderID)
	if err != nil {
		return page, err
	}
	if v.Secret == "" {
		v.Secret = NewLinkSecret()
	}
	page.Provider, page.Secret = p, v.Secret
	page.Scopes = s.at(p).askedScopes(linkScopesOf(l, p))
	page.ProviderHost = s.at(p).ConsentHost()
	if u, err := url.Parse(l.ReturnURL); err == nil {
		page.ReturnHost = u.Host
	}
	return page, nil
}

func linkScopesOf(l models.ConnectLink, p models.Provider) models.Strings {
	if len(l.Scopes) > 0 {
		return l.Scopes
	}
	return p.Scopes
}

func (s *Service) linkByKey(ctx context.Context, key models.Secret) (models.ConnectLink, *models.Flow, error) {
	l, f, err := s.store.ConnectLinkByKey(ctx, hashOf(key.Reveal()))
	if store.IsNotFound(err) {
		err = ErrNoLink
	}
	return l, f, err
}

// mayOpen says why a link cannot be opened in a browser. Where it has been opened there before, and the consent has not
// come back, it returns what the flow keeps to itself.
func (s *Service) mayOpen(l models.ConnectLink, f *models.Flow, v LinkVisitor) (*request, error) {
	if err := isLinksPerson(l, v.Person); err != nil {
		return nil, err
	}
	switch l.Status {
	case models.LinkOpen:
		return nil, nil
	case models.LinkConnected, models.LinkFailed:
		return nil, linkEnded(l)
	case models.LinkBegun, models.LinkReturned: // where?
	}
	req, err := s.ofLinkBrowser(*f, v.Secret)
	if err == nil && f.Status != models.FlowOpen {
		err = errLinkElsewhere
	}
	return &req, err
}

// isLinksPerson refuses everybody but the link's user, where the link wants that one signed in.
func isLinksPerson(l models.ConnectLink, person *Visitor) error {
	switch {
	case !l.SignIn:
		return nil
	case person == nil:
		return ErrLinkSignIn
	case person.Caller.OrgID != l.OrgID || person.Caller.UserID != l.UserID || !person.Caller.MayUse(l.ProviderID):
		return errLinkNotYours
	}
	return nil
}

// ofLinkBrowser opens what a link's flow keeps to itself, if the browser is the one that the link was opened in.
func (s *Service) ofLinkBrowser(f models.Flow, secret models.Secret) (request, error) {
	var req request
	if err := s.openJSON(flowOwner(f, "request"), f.Sealed, &req); err != nil {
		return req, err
	}
	if secret == "" || subtle.ConstantTimeCompare(req.Session, hashOf(secret.Reveal())) != 1 {
		return request{}, errLinkElsewhere
	}
	return req, nil
}

var linkSecret = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// BeginLink is the button of the page: it opens the consent with the link, and returns the address of the upstream's
// consent page. From then on the browser keeps v.Secret for the link. A second press leads to the same address.
func (s *Service) BeginLink(ctx context.Context, key models.Secret, v LinkVisitor) (models.ConnectLink, string, error) {
	if !linkSecret.MatchString(v.Secret.Reveal()) {
		return models.ConnectLink{}, "", models.Errorf(models.CodeBadRequest, "The form is not whole. Open the link again.")
	}
	l, target, err := s.tryLink(ctx, key, v)
	if errors.Is(err, errLinkBegun) {
		l, target, err = s.tryLink(ctx, key, v)
	}
	return l, target, err
}

// errLinkBegun says that a link was begun at this very moment, by a second press perhaps.
var errLinkBegun = errors.New("the connect link was begun meanwhile")

func (s *Service) tryLink(ctx context.Context, key models.Secret, v LinkVisitor) (models.ConnectLink, string, error) {
	l, f, err := s.linkByKey(ctx, key)
	if err != nil {
		return l, "", err
	}
	begun, err := s.mayOpen(l, f, v)
	if err != nil {
		return l, "", err
	}
	p, err := s.activeProvider(ctx, l.Caller(), l.ProviderID)
	if err != nil {
		return l, "", err
	}
	if begun != nil {
		target, err := s.consentAddress(ctx, p, *f, begun.State, *begun)
		return l, target, err
	}
	if err := s.returnsHere(p); err != nil {
		return l, "", err
	}
	target, err := s.openLink(ctx, l, p, v)
	return l, target, err
}

// openLink begins the one consent of a link.
func (s *Service) openLink(ctx context.Context, l models.ConnectLink, p models.Provider, v LinkVisitor) (string, error) {
	state := randomText()
	f := newFlow(l.Caller(), p, models.ChannelLink, state, s.ConnectURL(p.ID))
	f.Scopes = linkScopesOf(l, p)
	req := request{Verifier: providers.NewVerifier().Reveal(), Nonce: randomText(), Session: hashOf(v.Secret.Reveal()), State: state}
	if l.Confirm {
		req.Result = hashOf(linkResult(l, f, v.Secret))
	}
	target, err := s.consentAddress(ctx, p, f, state, req)
	if err != nil {
		return "", err
	}
	if f.Sealed, err = s.sealJSON(flowOwner(f, "request"), req); err != nil {
		return "", err
	}
	return target, s.store.Tx(ctx, func(tx *store.Store) error {
		begun, err := tx.BeginConnectLink(ctx, l.ID, f.ID)
		if err == nil && !begun {
			err = errLinkBegun
		}
		if err == nil {
			err = s.mayBegin(ctx, tx, f)
		}
		if err != nil {
			return err
		}
		return tx.InsertFlow(ctx, &f, s.timing.FlowLife)
	})
}

// linkResult is what the browser returns to the app with, and the app confirms with: made of the secret that this browser
// alone keeps, so that a page which is loaded again has the same, and bound to the link and its flow. Of it the flow keeps
// the SHA-256.
func linkResult(l models.ConnectLink, f models.Flow, secret models.Secret) string {
	mac := hmac.New(sha256.New, []byte(secret.Reveal()))
	mac.Write([]byte("connect link\n" + l.ID + "\n" + f.ID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// CancelLink is the other button: the person does not connect. The same again has the same result.
func (s *Service) CancelLink(ctx context.Context, key models.Secret, v LinkVisitor) (LinkReturn, error) {
	l, f, err := s.linkByKey(ctx, key)
	if err == nil {
		_, err = s.mayOpen(l, f, v)
	}
	if err == nil {
		l, err = s.endConnectLink(ctx, l, l.TokenID, models.LinkDenied)
	}
	if isLinksPerson(l, v.Person) == nil && l.Error == models.LinkDenied {
		return returnOf(l, "", string(l.Error)), nil
	}
	if err == nil {
		err = linkEnded(l)
	}
	return LinkReturn{}, err
}

// CompleteLink takes what the upstream sent a browser back with to a connect link that was opened there. mine is false
// where it was opened in no link of this browser: then nothing is used up, and it may be the answer to another consent.
// The same answer of the upstream again has the same result (T5). Where the link's app can be told of a failure, the
// result tells where, also beside an error.
func (s *Service) CompleteLink(ctx context.Context, cb models.Callback, secretOf func(link string) models.Secret, person *Visitor) (back LinkReturn, mine bool, err error) {
	l, f, err := s.store.ConnectLinkOfState(ctx, cb.ProviderID, hashOf(cb.State.Reveal()))
	if store.IsNotFound(err) || err == nil && f == nil {
		return LinkReturn{}, false, nil
	}
	if err != nil {
		return LinkReturn{}, false, err
	}
	secret := secretOf(l.ID)
	if _, err := s.ofLinkBrowser(*f, secret); err != nil {
		if errors.Is(err, errLinkElsewhere) {
			err = nil
		}
		return LinkReturn{}, false, err
	}
	if err := isLinksPerson(l, person); err != nil {
		if errors.Is(err, ErrLinkSignIn) {
			err = errSignedOutMeanwhile
		}
		return LinkReturn{Link: l}, true, err
	}
	back, err = s.completeLink(ctx, l, *f, cb, secret)
	return back, true, err
}

func (s *Service) completeLink(ctx context.Context, l models.ConnectLink, f models.Flow, cb models.Callback, secret models.Secret) (LinkReturn, error) {
	p, err := s.store.Provider(ctx, l.ProviderID)
	if err != nil {
		return LinkReturn{Link: l}, err
	}
	sameCode := cb.Code != "" && bytes.Equal(f.CodeHash, hashOf(cb.Code.Reveal()))
	switch {
	case l.Status == models.LinkFailed, f.Status == models.FlowDone && sameCode:
	case cb.Error != "":
		// Once it is declined, or was in another request, the link tells.
		if err := s.declined(ctx, l.Caller(), f, cb); models.CodeOf(err) != models.CodeBadRequest {
			return LinkReturn{Link: l}, err
		}
		back, err := s.linkReturned(ctx, l, f, secret)
		if err == nil && back.Error == "" {
			return LinkReturn{Link: l}, ErrNotOfSession
		}
		return back, err
	case cb.Code == "":
		return LinkReturn{Link: l}, ErrNotOfSession
	default:
		if _, err := s.spend(ctx, l.Caller(), p, f, cb); err != nil && !errors.Is(err, errUnconfirmed) {
			return s.linkNotCompleted(ctx, l, err)
		}
	}
	return s.linkReturned(ctx, l, f, secret)
}

// linkReturned tells the app what has become of the link.
func (s *Service) linkReturned(ctx context.Context, l models.ConnectLink, f models.Flow, secret models.Secret) (LinkReturn, error) {
	l, now, err := s.store.ConnectLink(ctx, l.ID)
	if err != nil {
		return LinkReturn{Link: l}, err
	}
	switch {
	case l.Status == models.LinkFailed:
		if now != nil && l.Ended != "" { // withdrawn while the code was exchanged
			err = s.leaveEnded(ctx, *now, l.Ended)
		}
		return returnOf(l, "", string(l.Error)), err
	case l.Confirm:
		return returnOf(l, linkResult(l, f, secret), ""), nil
	}
	return returnOf(l, "", ""), nil
}

// linkNotCompleted is for a consent that came back and could not be used. Where that is for good the app is told.
func (s *Service) linkNotCompleted(ctx context.Context, l models.ConnectLink, err error) (LinkReturn, error) {
	now, f, readErr := s.store.ConnectLink(ctx, l.ID)
	switch {
	case readErr != nil:
		return LinkReturn{Link: l}, readErr
	case now.Status != models.LinkFailed:
		return LinkReturn{Link: now}, err
	case f != nil && now.Ended != "":
		err = errors.Join(err, s.leaveEnded(ctx, *f, now.Ended))
	}
	return returnOf(now, "", string(now.Error)), err
}

// returnOf adds what became of a link to the app's address.
func returnOf(l models.ConnectLink, result, failure string) LinkReturn {
	back := LinkReturn{Link: l, Result: result, Error: failure}
	u, err := url.Parse(l.ReturnURL)
	if l.ReturnURL == "" || err != nil {
		return back
	}
	q := url.Values{"link": {l.ID}}
	if result != "" {
		q.Set("result", result)
	}
	if failure != "" {
		q.Set("error", failure)
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += q.Encode()
	back.To, back.Origin = u.String(), origin(u)
	return back
}
