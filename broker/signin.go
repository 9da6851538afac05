package broker

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/secrets"
)

// SignIn is how people sign in to the pages at an OpenID Connect issuer. The zero value is that they do not.
type SignIn struct {
	Name         string // of the issuer: its users are named after it (A5)
	Issuer       string
	ClientID     string
	ClientSecret models.Secret // "" for a public client
	Scopes       []string

	Org      string   // the organisation of everybody, or ""
	OrgClaim string   // the claim that names the organisation, where Org is ""
	Orgs     []string // the organisations that OrgClaim may name

	UserClaim string // "sub" as a rule
	// Shared says that the user claim is the name that backends and API tokens use: it is taken as it is.
	Shared  bool
	AdminIf Match   // makes an admin of the person's organisation; the zero value makes none
	Require []Match // all of them, else nobody signs in
}

// Match is a claim with a value. It fits a claim that is exactly that text, or a list that has it.
type Match struct{ Claim, Value string }

func (m Match) fits(claims map[string]any) bool {
	return slices.Contains(texts(claims[m.Claim]), m.Value)
}

// texts are the strings of a claim: one, or those of a list. Everything else is no text, and equals none.
func texts(claim any) []string {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, one := range v {
			if s, ok := one.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}

// The reasons why somebody whom the issuer identified may not sign in, for the log.
const (
	refusedRequirement = "requirement_not_met"
	refusedOrg         = "no_listed_organisation"
	refusedUser        = "no_usable_user_claim"
)

// person tells who the claims make somebody here, or why they may not sign in.
func (o SignIn) person(claims map[string]any) (SignedIn, string) {
	for _, m := range o.Require {
		if !m.fits(claims) {
			return SignedIn{}, refusedRequirement
		}
	}
	org, ok := o.orgOf(claims)
	if !ok {
		return SignedIn{}, refusedOrg
	}
	user, ok := o.userOf(claims)
	if !ok {
		return SignedIn{}, refusedUser
	}
	c := models.Caller{OrgID: org, UserID: user, Role: models.RoleUser, TokenID: issuerPrefix + o.Name}
	if o.AdminIf.Claim != "" && o.AdminIf.fits(claims) {
		c.Role = models.RoleAdmin
	}
	name, _ := claims[claimName].(string)
	return SignedIn{Caller: c, Issuer: o.Name, Name: displayName(name)}, ""
}

// orgOf is the one listed organisation that the claim names. Two of them leave open which is meant.
func (o SignIn) orgOf(claims map[string]any) (string, bool) {
	if o.Org != "" {
		return o.Org, true
	}
	named := texts(claims[o.OrgClaim])
	listed := slices.DeleteFunc(slices.Clone(o.Orgs), func(org string) bool { return !slices.Contains(named, org) })
	if len(listed) != 1 {
		return "", false
	}
	return listed[0], true
}

func (o SignIn) userOf(claims map[string]any) (string, bool) {
	value, _ := claims[o.UserClaim].(string)
	if o.Shared {
		return value, models.ValidIdentity(value) && !models.IsMachine(value)
	}
	return models.IssuersUser(o.Name, value)
}

// claimName is what the issuer calls a person. It is shown, and decides nothing.
const claimName = "name"

// needed are the claims that decide who somebody is.
func (o SignIn) needed() []string {
	names := []string{o.UserClaim}
	for _, m := range append(slices.Clone(o.Require), o.AdminIf) {
		names = append(names, m.Claim)
	}
	names = append(names, o.OrgClaim)
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// maxDisplayName is how many characters of a name are kept.
const maxDisplayName = 80

// displayName is a name without what cannot be seen, such as what turns the direction of a text around.
func displayName(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "")))
	if runes := []rune(s); len(runes) > maxDisplayName {
		s = string(runes[:maxDisplayName-1]) + "…"
	}
	return s
}

// pendingSignIn is what the browser keeps, sealed, while the person is at the issuer.
type pendingSignIn struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	To       SignInFor `json:"t"`
	Until    time.Time `json:"u"`
}

// SignInFor is what somebody signs in for: to connect a provider, and where to go then. Both may be "".
type SignInFor struct {
	Provider, Redirect string
	// Again has somebody who is signed in prove once more who they are, and the issuer may not take it from a session of
	// its own.
	Again bool
}

// SignInPath is where the issuer sends people back to, below the public URL.
const SignInPath = "/sign-in/callback"

// SignInName names the issuer that people sign in at, "" where there is none.
func (s *Service) SignInName() string { return s.signIn.Name }

func (s *Service) signInClient(again bool) providers.Client {
	o := s.signIn
	config := map[string]any{"issuer": o.Issuer}
	if again { // with max_age the issuer must say when the person signed in there (OIDC Core 3.1.2.1)
		config["authorizeParams"] = map[string]any{"prompt": "login", "max_age": "0"}
	}
	// No organisation has a name like this owner's, so none takes part in what is remembered of the issuer.
	return providers.Client{Owner: ":sign-in", Type: "oidc", ID: o.ClientID, Secret: o.ClientSecret, Scopes: o.Scopes,
		Config: config}
}

func (s *Service) signInOwner() secrets.Owner {
	return secrets.SignInOwner(s.signIn.Name, s.signIn.Issuer, s.signIn.ClientID)
}

// BeginSignIn returns the issuer's address for a person to sign in at, and what their browser must bring back with the
// issuer's answer: nothing is kept here, so strangers who begin cost nothing.
func (s *Service) BeginSignIn(ctx context.Context, to SignInFor) (address string, kept models.Secret, err error) {
	if s.signIn.Name == "" {
		return "", "", errNoIssuer
	}
	if err := s.CheckReturn(to.Redirect); err != nil {
		return "", "", err
	}
	p := pendingSignIn{State: randomText(), Nonce: randomText(), Verifier: providers.NewVerifier().Reveal(), To: to, Until: time.Now().Add(signInLife)}
	ctx, cancel := context.WithTimeout(ctx, signInCall)
	defer cancel()
	address, err = s.upstream.At(s.signInClient(to.Again)).AuthorizeURL(ctx, providers.AuthorizeRequest{
		State: p.State, RedirectURI: s.publicURL + SignInPath, Nonce: p.Nonce, Verifier: models.Secret(p.Verifier)})
	if err != nil {
		return "", "", s.signInFailed(err)
	}
	plain, err := json.Marshal(p)
	if err != nil {
		return "", "", fmt.Errorf("encoding a sign-in: %w", err)
	}
	sealed, err := s.keys.Seal(s.signInOwner(), plain)
	return address, models.Secret(base64.RawURLEncoding.EncodeToString(sealed)), err
}

var (
	errNoIssuer = models.Errorf(models.CodeNotFound, "Sign-in with OpenID Connect is not set up here.")
	// ErrNoSignIn is the answer to what belongs to no sign-in of the browser.
	ErrNoSignIn = models.Errorf(models.CodeBadRequest, "This answer does not belong to a sign-in that began in this browser, or more than ten minutes have passed. Sign in again.")
)

// CompleteSignIn takes what the issuer sent a person back with, and tells who that is. kept is what BeginSignIn had the
// browser keep. What the person signs in for is told beside an error too, where it is known.
func (s *Service) CompleteSignIn(ctx context.Context, kept models.Secret, cb models.Callback) (SignedIn, SignInFor, error) {
	p, err := s.openSignIn(kept)
	if err != nil || subtle.ConstantTimeCompare([]byte(p.State), []byte(cb.State.Reveal())) != 1 {
		return SignedIn{}, SignInFor{}, ErrNoSignIn
	}
	ctx, cancel := context.WithTimeout(ctx, signInCall)
	defer cancel()
	in, err := s.proven(ctx, p, cb)
	return in, p.To, err
}

func (s *Service) openSignIn(kept models.Secret) (pendingSignIn, error) {
	var p pendingSignIn
	sealed, err := base64.RawURLEncoding.DecodeString(kept.Reveal())
	if err != nil || s.signIn.Name == "" {
		return p, ErrNoSignIn
	}
	plain, err := s.keys.Open(s.signInOwner(), sealed)
	if err != nil || json.Unmarshal(plain, &p) != nil || !time.Now().Before(p.Until) {
		return p, ErrNoSignIn
	}
	return p, nil
}

// proven spends the code, and judges what the issuer says with it.
func (s *Service) proven(ctx context.Context, p pendingSignIn, cb models.Callback) (SignedIn, error) {
	issuer := s.upstream.At(s.signInClient(false))
	if err := issuer.CheckIssuer(ctx, cb.Iss, true); err != nil {
		return SignedIn{}, s.signInFailed(err)
	}
	switch {
	case cb.Error != "":
		return SignedIn{}, s.signInDeclined(providers.ConsentError(cb.Error))
	case cb.Code == "":
		return SignedIn{}, ErrNoSignIn
	}
	tokens, err := issuer.Exchange(ctx, providers.ExchangeRequest{Code: cb.Code, RedirectURI: s.publicURL + SignInPath, Verifier: models.Secret(p.Verifier)})
	if err != nil {
		return SignedIn{}, s.signInFailed(err)
	}
	claims, err := issuer.Claims(ctx, tokens, p.Nonce, s.signIn.needed(), []string{claimName})
	if err != nil {
		return SignedIn{}, s.signInFailed(err)
	}
	if p.To.Again && !signedInSince(claims, p.Until.Add(-signInLife)) {
		return SignedIn{}, errNotAgain
	}
	in, refusal := s.signIn.person(claims)
	if refusal != "" {
		s.log.Warn("a sign-in was refused: the issuer's claims do not fit the settings", "issuer", s.signIn.Name, "reason", refusal)
		return SignedIn{}, &models.Error{Code: models.CodeForbidden, Detail: refusal,
			Message: "Your account at " + s.signIn.Name + " may not sign in here. If it should, ask those who run this service: they find the reason in its log."}
	}
	return in, nil
}

// signedInSince reports whether the issuer says that the person has proved who they are since then, give or take a
// minute between the clocks.
func signedInSince(claims map[string]any, then time.Time) bool {
	at, ok := claims["auth_time"].(float64)
	return ok && at >= float64(then.Add(-signInDrift).Unix())
}

var errNotAgain = models.Errorf(models.CodeForbidden, "This needs a new sign-in, but the issuer did not ask you to sign in again.")

func (s *Service) signInDeclined(code string) error {
	if code == providers.ConsentDenied {
		return &models.Error{Code: models.CodeBadRequest, Detail: code, Message: "You did not sign in at " + s.signIn.Name + "."}
	}
	return &models.Error{Code: models.CodeBadRequest, Detail: code, Message: s.signIn.Name + " sent you back without signing you in (" + code + ")."}
}

// signInFailed says what a person may be told of a failure of the issuer. Refused, blocked and timed out look the same
// (S1); the log tells them apart.
func (s *Service) signInFailed(err error) error {
	up, ok := errors.AsType[*providers.Error](err)
	if !ok {
		return fmt.Errorf("signing in at %s: %w", s.signIn.Name, err)
	}
	logged := fmt.Errorf("sign-in issuer %s: %w", s.signIn.Name, err)
	if up.Err != nil {
		logged = fmt.Errorf("%w: %w", logged, up.Err)
	}
	if up.Advice != "" {
		logged = fmt.Errorf("%w: %s", logged, up.Advice)
	}
	failed := &models.Error{Code: models.CodeUpstream, Detail: up.Code, Err: logged, RetryAfter: max(up.RetryAfter, retrySoon),
		Message: s.signIn.Name + " could not be reached or did not answer as it should. Try again shortly."}
	if up.Kind == providers.KindDenied || up.Kind == providers.KindProtocol || up.Code == "invalid_iss" {
		failed.Code, failed.RetryAfter = models.CodeBadRequest, 0
		failed.Message = "The answer of " + s.signIn.Name + " does not prove who you are. Sign in again. If that happens again, tell those who run this service: they find the reason in its log."
	}
	return failed
}

// bindSignInName ties the name of the sign-in issuer to its URL. A trusted issuer of the same name is the same one.
func (s *Service) bindSignInName(ctx context.Context) error {
	if s.signIn.Name == "" {
		return nil
	}
	if err := s.bindIssuerName(ctx, s.signIn.Name, s.signIn.Issuer); err != nil {
		return fmt.Errorf("GRANTD_SIGNIN_NAME: %w", err)
	}
	return nil
}
