package broker

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// An app has a person connect an account by sending them to a connect link. Anybody who has its address could open it: so what
// was consented to is attached to the link's user only once the app has confirmed, in the session of that person, that it
// is them, or where the person is signed in to the pages as that user. Until then nothing is an authorization, and what is
// not confirmed is revoked.

// NewConnectLink is what a connect link is asked for with.
type NewConnectLink struct {
	UserID           string
	ProviderID, Slug string // exactly one of them
	ReturnURL        string // may be "" for a link that needs no confirmation
	Scopes           []string
	Life             time.Duration // 0 for ten minutes
	Confirm          *bool         // nil for yes, unless SignIn is true
	SignIn, Popup    bool
}

// MakeConnectLink makes a link for a service or an admin, and returns its address, once.
func (s *Service) MakeConnectLink(ctx context.Context, c models.Caller, n NewConnectLink) (models.ConnectLink, string, error) {
	if err := onlyLinkMakers(c); err != nil {
		return models.ConnectLink{}, "", err
	}
	t, err := s.store.APIToken(ctx, c.TokenID)
	if err != nil && !store.IsNotFound(err) {
		return models.ConnectLink{}, "", err
	}
	l := models.ConnectLink{ID: newID(), OrgID: c.OrgID, UserID: n.UserID, TokenID: c.TokenID, MadeBy: c.UserID, AppName: cmp.Or(t.Name, c.UserID),
		ReturnURL: n.ReturnURL, Confirm: !n.SignIn, SignIn: n.SignIn, Popup: n.Popup}
	set(&l.Confirm, n.Confirm)
	life := cmp.Or(n.Life, linkLife)
	if !c.EndsAt.IsZero() && time.Until(c.EndsAt) < time.Second {
		return models.ConnectLink{}, "", errEndingToken
	}
	if wrong := s.judgeConnectLink(t, l, n, life); len(wrong) > 0 {
		return models.ConnectLink{}, "", models.Invalid(wrong...)
	}
	p, err := s.providerOf(ctx, c, n)
	if err != nil {
		return models.ConnectLink{}, "", err
	}
	if err := mayConsent(p); err != nil {
		return models.ConnectLink{}, "", err
	}
	if err := s.returnsHere(p); err != nil {
		return models.ConnectLink{}, "", err
	}
	l.ProviderID = p.ID
	if l.Scopes, err = s.linkScopes(p, n.Scopes); err != nil {
		return models.ConnectLink{}, "", err
	}
	key := randomText()
	l.KeyHash = hashOf(key)
	if !c.EndsAt.IsZero() {
		l.TokenEndsAt = &c.EndsAt
	}
	err = s.store.Tx(ctx, func(tx *store.Store) error {
		if err := s.mayMakeLink(ctx, tx, l); err != nil {
			return err
		}
		if err := tx.InsertConnectLink(ctx, &l, life); err != nil {
			return err
		}
		return tx.Audit(ctx, linkEvent(l, c.TokenID, models.ActionConnectLinkMade).code(l.ID).done())
	})
	if err != nil {
		return models.ConnectLink{}, "", err
	}
	return l, s.publicURL + ConnectLinkPath + key, nil
}

// ConnectLinkPath is where links lead, below the public URL: it ends with the link's key.
const ConnectLinkPath = "/connect/"

// errEndingToken refuses a link that would be over when it is made: bearer tokens are accepted for a minute past their end.
var errEndingToken = models.Errorf(models.CodeForbidden, "A connect link ends with the bearer token that it is made with, and this one has expired. Make the link with a newer token.")

func onlyLinkMakers(c models.Caller) error {
	if c.IsService() || c.IsAdmin() {
		return nil
	}
	return models.Errorf(models.CodeForbidden, "Connect links are for services and admins.")
}

// linkEvent is about a link: the event names its user and who acts for them.
func linkEvent(l models.ConnectLink, tokenID string, action models.Action) audit {
	c := l.Caller()
	c.TokenID = tokenID
	return event(c, action).provider(l.ProviderID)
}

// judgeConnectLink returns what is wrong with a link that is asked for with an API token.
func (s *Service) judgeConnectLink(t models.APIToken, l models.ConnectLink, n NewConnectLink, life time.Duration) []models.FieldError {
	var wrong []models.FieldError
	bad := func(name, message string) { wrong = append(wrong, models.FieldError{Name: name, Message: message}) }
	switch {
	case !models.ValidUser(l.UserID):
		bad("userId", "must be a user, as your organisation names its users")
	case l.SignIn && !s.signIn.names(l.UserID):
		bad("userId", "must be a user that people can sign in as, because signIn is true")
	}
	if (n.ProviderID == "") == (n.Slug == "") {
		bad("providerId", "give either providerId or slug")
	}
	if !l.Confirm && !l.SignIn {
		bad("confirm", "must be true unless signIn is: one of the two has to show that the person is userId")
	}
	if life < time.Second || life > longestLinkLife {
		bad("expiresIn", "must be 1 to "+strconv.Itoa(int(longestLinkLife.Seconds()))+" seconds")
	}
	switch {
	case l.ReturnURL != "":
		if problem := s.redirects.checkReturnURL(l.ReturnURL, t.ReturnOrigins); problem != "" {
			bad("returnUrl", problem)
		}
	case l.Confirm:
		bad("returnUrl", "is required, because the result that confirm/ takes is returned there")
	case l.Popup:
		bad("returnUrl", "is required, because the window that opened the link is told the result only if it has this origin")
	}
	return wrong
}

// names reports whether somebody can sign in to the pages as a user.
func (o SignIn) names(user string) bool {
	issuer, _, named := strings.Cut(user, ":")
	return !models.IsMachine(user) && (!named || issuer == o.Name && !o.Shared)
}

// ofLink are the parameters that are added to a link's returnUrl.
var ofLink = []string{"link", "result", "error"}

// checkReturnURL returns what is wrong with where a link returns to, "" for nothing. Its origin is one that the API token
// lists, or one that the operator allows.
func (r redirectPolicy) checkReturnURL(raw string, origins []string) string {
	u, problem := parseRedirect(raw)
	if problem != "" {
		return problem
	}
	q, err := url.ParseQuery(u.RawQuery)
	switch {
	case err != nil:
		return "must have a query that can be read"
	case slices.ContainsFunc(ofLink, q.Has):
		return "must not have a parameter " + enumeration(ofLink) + " of its own: these are added to it"
	case r.any || slices.Contains(r.allow, origin(u)) || slices.ContainsFunc(origins, func(o string) bool { return isOfOrigin(u, o) }):
		return ""
	}
	return "its origin is not admitted: make an API token that has " + origin(u) + " among its returnOrigins, or add it to GRANTD_REDIRECT_ALLOW"
}

// anyPort ends a return origin that stands for every port of a loopback address.
const anyPort = ":*"

func isOfOrigin(u *url.URL, listed string) bool {
	if host, any := strings.CutSuffix(listed, anyPort); any {
		return strings.TrimSuffix(origin(u), ":"+u.Port()) == host
	}
	return origin(u) == listed
}

// checkReturnOrigin returns what is wrong with a return origin of an API token, "" for nothing.
func checkReturnOrigin(o string) string {
	host, any := strings.CutSuffix(o, anyPort)
	u, problem := parseRedirect(host)
	switch {
	case problem != "":
		return problem
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || host != origin(u):
		return "must be an origin in lower case, such as https://app.example.com, without a path"
	case any && (u.Port() != "" || !isLoopback(u)):
		return "may leave the port open (:*) on a loopback address only"
	}
	return ""
}

// providerOf finds the provider that a link is for.
func (s *Service) providerOf(ctx context.Context, c models.Caller, n NewConnectLink) (models.Provider, error) {
	if n.ProviderID != "" {
		if !models.ValidID(n.ProviderID) {
			return models.Provider{}, store.NotFound("OAuth provider")
		}
		return s.visibleProvider(ctx, c, n.ProviderID)
	}
	p, err := s.store.ProviderBySlug(ctx, c.OrgID, n.Slug)
	if err == nil && !c.MayUse(p.ID) {
		err = store.NotFound("OAuth provider")
	}
	return p, err
}

// linkScopes are the scopes that a link asks for, none for those of the provider. An app cannot ask for more than the
// admin has set the provider to, and who consents has to be told, for which OpenID Connect has a scope.
func (s *Service) linkScopes(p models.Provider, asked []string) (models.Strings, error) {
	const openID = "openid"
	may := s.at(p).askedScopes(p.Scopes)
	for _, scope := range asked {
		if !slices.Contains(may, scope) {
			return nil, models.Invalid(models.FieldError{Name: "scopes", Message: "must be among the scopes that the provider is set to ask for: " + strings.Join(may, " ")})
		}
	}
	if len(asked) > 0 && slices.Contains(may, openID) && !slices.Contains(asked, openID) {
		asked = append([]string{openID}, asked...)
	}
	return asked, nil
}

// asking is a provider as its client asks in a flow: that of a connect link may have scopes of its own.
func asking(p models.Provider, f models.Flow) models.Provider {
	if f.Channel == models.ChannelLink {
		p.Scopes = f.Scopes
	}
	return p
}

// mayMakeLink refuses links while there are many that nobody has opened (T2).
func (s *Service) mayMakeLink(ctx context.Context, tx *store.Store, l models.ConnectLink) error {
	ofOrg, ofUser, err := tx.OpenConnectLinks(ctx, l.OrgID, l.MadeBy, l.UserID)
	if err != nil {
		return err
	}
	refused := func(whose string, limit int) error {
		return tooMany("open connect links", whose, models.Quota{Policy: "connect_links", Limit: limit, Window: longestLinkLife}, tryConsent)
	}
	switch {
	case ofUser >= s.limits.PersonConsents:
		return refused("user", s.limits.PersonConsents)
	case ofOrg >= s.limits.Consents.Org:
		return refused("organisation", s.limits.Consents.Org)
	}
	return nil
}

// ConnectLink tells how far a link has come: those who made it, and admins.
func (s *Service) ConnectLink(ctx context.Context, c models.Caller, id string) (models.ConnectLink, error) {
	l, _, err := s.visibleLink(ctx, c, id)
	return l, err
}

func (s *Service) visibleLink(ctx context.Context, c models.Caller, id string) (models.ConnectLink, *models.Flow, error) {
	if err := onlyLinkMakers(c); err != nil {
		return models.ConnectLink{}, nil, err
	}
	l, f, err := s.store.ConnectLink(ctx, id)
	if err == nil && (l.OrgID != c.OrgID || !c.MayUse(l.ProviderID) || !c.IsAdmin() && !madeLink(l, c)) {
		return models.ConnectLink{}, nil, store.NotFound("Connect link")
	}
	return l, f, err
}

// madeLink reports whether a link is the service's, by whichever of its API tokens, which are replaced while its links are
// open; or whether an admin made it with this API token.
func madeLink(l models.ConnectLink, c models.Caller) bool {
	if c.IsService() {
		return l.OrgID == c.OrgID && l.MadeBy == c.UserID
	}
	return l.OrgID == c.OrgID && l.TokenID == c.TokenID
}

// ConnectLinkQuery filters and pages a list of connect links. Empty fields do not filter.
type ConnectLinkQuery struct {
	UserID, ProviderID string
	Open               bool // only those that may still connect
	Limit              int  // 0 means 100
	Cursor             string
}

// ConnectLinks returns a page of connect links, the newest first: a service's own, and for an admin those of the organisation.
func (s *Service) ConnectLinks(ctx context.Context, c models.Caller, q ConnectLinkQuery) (Page[models.ConnectLink], error) {
	if err := onlyLinkMakers(c); err != nil {
		return Page[models.ConnectLink]{}, err
	}
	limit, after, err := paging(q.Limit, 100, q.Cursor)
	if err != nil {
		return Page[models.ConnectLink]{}, err
	}
	f := store.ConnectLinkFilter{UserID: q.UserID, ProviderID: q.ProviderID, Within: c.Limits(), Open: q.Open}
	if c.IsService() {
		f.MadeBy = c.UserID
	}
	rows, err := s.store.ConnectLinks(ctx, c.OrgID, f, after, limit+1)
	return cut(rows, limit, after,
		func(l models.ConnectLink) store.Position {
			return store.Position{CreatedAt: l.CreatedAt, ID: l.ID}
		},
		asItIs), err
}

// WithdrawConnectLink takes a link back, and what was consented to with it. One that has failed stays so.
func (s *Service) WithdrawConnectLink(ctx context.Context, c models.Caller, id string) error {
	l, _, err := s.visibleLink(ctx, c, id)
	if err != nil {
		return err
	}
	if l.Status == models.LinkFailed {
		return nil
	}
	if l, err = s.endConnectLink(ctx, l, c.TokenID, models.LinkWithdrawn); err != nil {
		return err
	}
	if l.Ended == models.LinkDone {
		return models.Errorf(models.CodeConflict, "The account is connected already. Delete the authorization to disconnect it.")
	}
	return nil
}

// endConnectLink ends a link without a connection, unless it has ended before, and has revoked what was consented to with
// it. It returns the link as it is then.
func (s *Service) endConnectLink(ctx context.Context, l models.ConnectLink, tokenID string, how models.LinkEnd) (models.ConnectLink, error) {
	var f *models.Flow
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		ended, err := tx.EndConnectLink(ctx, l.ID, how)
		if err != nil {
			return err
		}
		if l, f, err = tx.ConnectLink(ctx, l.ID); err != nil || !ended {
			return err
		}
		if f != nil {
			if _, err := tx.FailFlow(ctx, f.ID, string(how), models.FlowOpen); err != nil {
				return err
			}
		}
		return tx.Audit(ctx, linkEvent(l, tokenID, models.ActionConnectLinkEnded).code(string(how)).done())
	})
	if err == nil && f != nil && l.Ended != models.LinkDone {
		err = s.leaveEnded(ctx, *f, l.Ended)
	}
	return l, err
}

// leaveEnded has the tokens of a link that ended revoked, if there are any.
func (s *Service) leaveEnded(ctx context.Context, f models.Flow, how models.LinkEnd) error {
	if f.Status != models.FlowExchanged {
		return nil
	}
	p, err := s.store.Provider(ctx, f.ProviderID)
	if err != nil {
		return err
	}
	e, err := s.openExchanged(f)
	if err != nil {
		return err
	}
	return s.leaveUnconfirmed(ctx, p, f, e, string(how))
}

// leaveUnconfirmed leaves tokens that nobody confirmed to be revoked: alone where the type can, else with their grant
// unless another authorization lives on it (D1). Where the upstream did not say who consented, they are revoked alone.
func (s *Service) leaveUnconfirmed(ctx context.Context, p models.Provider, f models.Flow, e exchanged, why string) error {
	var req request
	if err := s.openJSON(flowOwner(f, "request"), f.Sealed, &req); err != nil {
		return err
	}
	if req.User == nil {
		return s.leaveOrphaned(ctx, p, f, e, why)
	}
	a := s.newAuthorization(s.at(p), f, e, req.User.user())
	return s.leaveToRevoke(ctx, f, e, a, models.RevokeToken, why)
}

// consenter is what a flow keeps of who consented, which is as much as an authorization keeps.
type consenter struct {
	Sub      string `json:"s"`
	Name     string `json:"n,omitempty"`
	NickName string `json:"l,omitempty"`
	Email    string `json:"e,omitempty"`
	Picture  string `json:"p,omitempty"`
}

func (c consenter) user() models.User {
	return models.User{Sub: c.Sub, Name: c.Name, NickName: c.NickName, Email: c.Email, Picture: c.Picture}
}

// errUnconfirmed stops a consent before it becomes an authorization: the app has not confirmed yet.
var errUnconfirmed = errors.New("the app has not confirmed the connection yet")

// awaitConfirmation keeps who consented in the flow, and returns errUnconfirmed, until the app has confirmed.
func (s *Service) awaitConfirmation(ctx context.Context, f models.Flow, req request, user models.User) error {
	switch {
	case req.Result == nil || req.Confirmed:
		return nil
	case req.User != nil:
		return errUnconfirmed
	}
	req.User = &consenter{user.Sub, user.Name, user.NickName, user.Email, user.Picture}
	sealed, err := s.sealJSON(flowOwner(f, "request"), req)
	if err != nil {
		return err
	}
	kept, err := s.store.AmendRequest(ctx, f, sealed)
	if err == nil && !kept {
		err = s.keptMeanwhile(ctx, f.ID)
	}
	return cmp.Or(err, errUnconfirmed)
}

// keptMeanwhile is nil where another request has kept in the flow who consented.
func (s *Service) keptMeanwhile(ctx context.Context, flow string) error {
	f, err := s.store.Flow(ctx, flow)
	if err != nil {
		return err
	}
	var req request
	if err := s.openJSON(flowOwner(f, "request"), f.Sealed, &req); err != nil {
		return err
	}
	if req.User == nil { // a rotation of the keys has changed the row, or the time is over
		return slowUpstream
	}
	return nil
}

// finishConnectLink ends the link of a flow in the transaction that makes its authorization live, and notes which one, of
// another account, was the user's default until then.
func (s *Service) finishConnectLink(ctx context.Context, tx *store.Store, f models.Flow, sub string) error {
	rows, err := tx.LatestLinks(ctx, models.Caller{OrgID: f.OrgID, UserID: f.UserID}, f.ProviderID)
	if err != nil {
		return err
	}
	var replaces *string
	if len(rows) > 0 && rows[0].Authorization.Sub != sub {
		replaces = &rows[0].Authorization.ID
	}
	finished, err := tx.FinishConnectLink(ctx, f.ID, replaces)
	if err == nil && !finished {
		err = errLinkOver
	}
	return err
}

var (
	errLinkOver = models.Errorf(models.CodeGone, "The connect link is over: it was withdrawn, refused or not confirmed within ten minutes. What was consented to is revoked. Make another link.")
	errNoResult = models.Errorf(models.CodeBadRequest, "This is not the result that the person returned with by this link. Nothing was changed.")
	errRefused  = &models.Error{Code: models.CodeForbidden, Detail: string(models.LinkAnotherUser),
		Message: "The link is for another user. It has ended, and what was consented to is revoked: perhaps the person was sent somebody else's link."}
	errNotTheirs      = models.Errorf(models.CodeForbidden, "The link is for another user, who is connected already. Nothing was changed.")
	errNoConfirmation = models.Errorf(models.CodeConflict, "This link was made without confirm: the page has shown that the person is userId.")
)

// ConfirmedLink is a connection that an app has confirmed.
type ConfirmedLink struct {
	Authorization models.Authorization
	Replaces      *string // see models.ConnectLink
}

// ConfirmConnectLink makes what was consented to by a link the user's authorization. The app names the person of its own
// session, who came back with the result. The same call again has the same answer, as long as the result counts.
func (s *Service) ConfirmConnectLink(ctx context.Context, c models.Caller, id string, result models.Secret, user string) (ConfirmedLink, error) {
	l, f, err := s.visibleLink(ctx, c, id)
	if err == nil && !madeLink(l, c) {
		err = store.NotFound("Connect link")
	}
	if err == nil && !l.Confirm {
		err = errNoConfirmation
	}
	if err != nil {
		return ConfirmedLink{}, err
	}
	req, err := s.resultOf(f, result)
	if err == nil && user != l.UserID && l.Status == models.LinkReturned {
		l, err = s.endConnectLink(ctx, l, c.TokenID, models.LinkAnotherUser)
	}
	switch {
	case err != nil:
		return ConfirmedLink{}, err
	case l.Error == models.LinkAnotherUser:
		return ConfirmedLink{}, errRefused
	case l.Status == models.LinkFailed:
		return ConfirmedLink{}, errLinkOver
	case user != l.UserID:
		return ConfirmedLink{}, errNotTheirs
	}
	return s.confirmLink(ctx, c, l, *f, req)
}

// resultOf opens what a flow keeps to itself, if the result is the one that its person returned with, and still counts.
func (s *Service) resultOf(f *models.Flow, result models.Secret) (request, error) {
	var req request
	if f == nil {
		return req, errNoResult
	}
	if err := s.openJSON(flowOwner(*f, "request"), f.Sealed, &req); err != nil {
		return req, err
	}
	if req.User == nil || !bytes.Equal(req.Result, hashOf(result.Reveal())) {
		return req, errNoResult
	}
	return req, nil
}

func (s *Service) confirmLink(ctx context.Context, c models.Caller, l models.ConnectLink, f models.Flow, req request) (ConfirmedLink, error) {
	as := l.Caller()
	as.TokenID = c.TokenID
	if f.Status == models.FlowExchanged {
		if !req.Confirmed {
			// Where the row has changed meanwhile, the same call was sent twice, or collect says what else it was.
			if _, err := s.confirm(ctx, f, req); err != nil {
				return ConfirmedLink{}, err
			}
		}
		if _, err := s.collect(ctx, as, f, func(context.Context) error { return nil }); err != nil {
			return ConfirmedLink{}, s.whyUnconfirmed(ctx, l, err)
		}
	}
	l, now, err := s.store.ConnectLink(ctx, l.ID)
	if err != nil {
		return ConfirmedLink{}, err
	}
	if l.Status != models.LinkConnected || now == nil {
		return ConfirmedLink{}, errLinkOver
	}
	done, err := s.finished(ctx, as, *now)
	return ConfirmedLink{Authorization: done.Authorization, Replaces: l.Replaces}, err
}

// whyUnconfirmed is the answer to an app whose confirmation did not connect.
func (s *Service) whyUnconfirmed(ctx context.Context, l models.ConnectLink, err error) error {
	switch {
	case errors.Is(err, errBadState): // the flow has ended otherwise
		return errLinkOver
	case !errors.Is(err, errUnconfirmed):
		return err
	}
	l, _, err = s.store.ConnectLink(ctx, l.ID)
	switch {
	case err != nil:
		return err
	case l.Status == models.LinkFailed:
		return errLinkOver
	}
	return slowUpstream // a rotation of the keys has changed the row: the same call again confirms
}
