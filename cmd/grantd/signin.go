package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// signInSettings say how people sign in to the pages.
type signInSettings struct {
	SigninIssuer           string        `placeholder:"URL" help:"An OpenID Connect issuer that people sign in to the pages at, beside API tokens."`
	SigninName             string        `placeholder:"NAME" help:"What the issuer is called on the sign-in button, and before the names of its users. It belongs to the issuer for ever."`
	SigninClientID         string        `name:"signin-client-id" placeholder:"ID" help:"The client that is registered at the issuer, with <public URL>/sign-in/callback as its redirect URI."`
	SigninClientSecret     models.Secret `name:"signin-client-secret" placeholder:"SECRET" help:"The client's secret; none for a public client."`
	SigninClientSecretFile string        `name:"signin-client-secret-file" placeholder:"FILE" help:"A file with the client's secret, instead of the secret itself."`
	SigninScopes           []string      `default:"openid,profile" placeholder:"SCOPE" help:"The scopes that are asked for; openid always is."`
	SigninOrg              string        `placeholder:"NAME" help:"The organisation of those who sign in: a name, or claim:<name> for the claim that names it."`
	SigninOrgs             []string      `placeholder:"NAME" help:"With claim:<name>, the organisations that the claim may name. Others are refused."`
	SigninUserClaim        string        `default:"sub" placeholder:"CLAIM" help:"The claim that tells people apart."`
	SigninUsers            string        `default:"prefixed" placeholder:"MODE" help:"prefixed: users are named <issuer's name>:<claim>. shared: the claim is the user's name, which backends and API tokens use too."`
	SigninAdminIf          string        `placeholder:"CLAIM=VALUE" help:"Who has this claim is an admin of its organisation; by default nobody who signs in at the issuer is."`
	SigninRequire          []string      `placeholder:"CLAIM=VALUE" help:"Claims without which nobody signs in. Needed for issuers that serve many customers."`

	SessionIdle      time.Duration `default:"24h" placeholder:"TIME" help:"After how long without use a user's session of the pages ends."`
	SessionLife      time.Duration `default:"7d" placeholder:"TIME" help:"After how long a user's session ends in any case."`
	SessionIdleAdmin time.Duration `default:"1h" placeholder:"TIME" help:"After how long without use an admin's session ends."`
	SessionLifeAdmin time.Duration `default:"12h" placeholder:"TIME" help:"After how long an admin's session ends in any case."`
}

// changeable are claims that people or their admins can change, or that pass to somebody else: what depends on one can be
// taken over.
var changeable = []string{"email", "preferred_username", "upn", "name"}

// sharedIssuers are issuers that anybody may have an account at, or that serve many organisations.
var sharedIssuers = map[string]sharedIssuer{
	"https://accounts.google.com":                 {"hd", []string{"hd", "sub"}},
	"https://gitlab.com":                          {"groups_direct", []string{"namespace_id", "project_id"}},
	"https://appleid.apple.com":                   {"sub", nil},
	"https://www.facebook.com":                    {"sub", nil},
	"https://limited.facebook.com":                {"sub", nil},
	"https://api.login.yahoo.com":                 {"sub", nil},
	"https://slack.com":                           {"https://slack.com/team_id", nil},
	"https://www.linkedin.com/oauth":              {"sub", nil},
	"https://www.linkedin.com":                    {"sub", nil},
	"https://id.twitch.tv/oauth2":                 {"sub", nil},
	"https://access.line.me":                      {"sub", nil},
	"https://discord.com":                         {"sub", nil},
	"https://login.salesforce.com":                {"organization_id", nil},
	"https://auth.atlassian.com":                  {"sub", nil},
	"https://oauth.id.jumpcloud.com":              {"sub", nil},
	"https://www.paypal.com":                      {"sub", nil},
	"https://www.paypalobjects.com":               {"sub", nil},
	"https://token.actions.githubusercontent.com": {"repository_owner_id", []string{"repository_owner_id", "repository_id", "enterprise_id"}},
	"https://kauth.kakao.com":                     {"sub", nil},
	"https://orcid.org":                           {"sub", nil},
	"https://app.terraform.io":                    {"terraform_organization_id", []string{"terraform_organization_id", "terraform_project_id", "terraform_workspace_id"}},
	"https://agent.buildkite.com":                 {"organization_id", []string{"organization_id", "pipeline_id", "cluster_id"}},
	"https://oidc.vercel.com":                     {"owner_id", []string{"owner_id", "project_id"}},
	"https://oidc.circleci.com":                   {"oidc.circleci.com/org-id", []string{"oidc.circleci.com/org-id", "oidc.circleci.com/project-id"}},
}

// sharedIssuer says which claims tell its customers apart.
type sharedIssuer struct {
	claim string // for those who sign in
	// customer are claims that never change and are never given to somebody else, of which a trusted issuer's rules must
	// fix one; nil for claim alone.
	customer []string
}

// sharedIssuerOf finds an issuer that serves many customers. Some have the customer's name in a path below their own
// address, and a name may pass to somebody else.
func sharedIssuerOf(issuer string) (sharedIssuer, bool) {
	at := strings.ToLower(strings.TrimRight(issuer, "/"))
	for url, shared := range sharedIssuers {
		if at == url || strings.HasPrefix(at, url+"/") {
			return shared, true
		}
	}
	return sharedIssuer{}, false
}

// entra finds the issuers of Microsoft Entra that stand for many tenants: no id_token ever comes from one of the first
// three, and everybody with a personal account comes from the last.
var entra = regexp.MustCompile(`(?i)^https://(?:login\.microsoftonline\.(?:com|us)|sts\.windows\.net|login\.partner\.microsoftonline\.cn)/(common|organizations|consumers|9188040d-6c67-4c5b-b112-36a304b66dad)(?:/|$)`)

// judgeSignIn says everything that is wrong with the settings of the sign-in.
func (c *Config) judgeSignIn(judge func(flag, problem string)) {
	for flag, d := range map[string]time.Duration{"session-idle": c.SessionIdle, "session-life": c.SessionLife,
		"session-idle-admin": c.SessionIdleAdmin, "session-life-admin": c.SessionLifeAdmin} {
		judge(flag, judgeSession(d))
	}
	if c.SigninIssuer == "" {
		for _, flag := range []string{"signin-name", "signin-client-id", "signin-client-secret", "signin-client-secret-file", "signin-scopes", "signin-org",
			"signin-orgs", "signin-user-claim", "signin-users", "signin-admin-if", "signin-require"} {
			if c.given(flag) {
				judge(flag, "has no effect without GRANTD_SIGNIN_ISSUER")
			}
		}
		return
	}
	judge("signin-issuer", c.judgeIssuer())
	if !models.ValidIssuerName(c.SigninName) {
		judge("signin-name", "must be 1 to 32 of the characters a-z 0-9 -, such as corp")
	}
	if c.SigninClientID == "" || models.Unprintable(c.SigninClientID) > 0 {
		judge("signin-client-id", "must name the client that is registered at the issuer, in printable ASCII")
	}
	_, problem := c.signInSecret()
	judge("signin-client-secret", problem)
	judge("signin-scopes", each(c.SigninScopes, judgeScope))
	c.judgeOrg(judge)
	judge("signin-user-claim", judgeClaim(c.SigninUserClaim))
	judge("signin-users", oneOf(c.SigninUsers, "prefixed", "shared"))
	judge("signin-admin-if", optional(c.SigninAdminIf, func(s string) string {
		m, problem := parseMatch(s)
		return cmp.Or(problem, judgeClaim(m.Claim))
	}))
	judge("signin-require", each(c.SigninRequire, func(s string) string {
		_, problem := parseMatch(s)
		return problem
	}))
}

func judgeSession(d time.Duration) string {
	if d < 5*time.Minute || d > 90*24*time.Hour {
		return "must be between 5m and 90d"
	}
	return ""
}

func (c *Config) judgeIssuer() string {
	if problem := c.judgeIssuerURL(c.SigninIssuer); problem != "" {
		return problem
	}
	if shared, ok := sharedIssuerOf(c.SigninIssuer); ok && len(c.SigninRequire) == 0 {
		return "serves many customers, and everybody with an account there could sign in; say in GRANTD_SIGNIN_REQUIRE whose people may, such as " + shared.claim + "=<yours>"
	}
	return ""
}

// judgeIssuerURL judges what an issuer calls itself.
func (c *Config) judgeIssuerURL(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || strings.ContainsAny(issuer, "?#{} ") {
		return "must be the issuer's own https URL, as its metadata says it, such as https://sso.example.com"
	}
	if u.Scheme == "http" && !slices.Contains(c.UpstreamAllow, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80"))) {
		return "must use https, unless GRANTD_UPSTREAM_ALLOW lists its host:port"
	}
	if entra.MatchString(issuer) {
		return "stands for many tenants, and anybody in any of them could sign in; give your tenant's own issuer, https://login.microsoftonline.com/<tenant id>/v2.0"
	}
	return ""
}

func (c *Config) judgeOrg(judge func(flag, problem string)) {
	claim, byClaim := strings.CutPrefix(c.SigninOrg, "claim:")
	switch {
	case byClaim:
		judge("signin-org", judgeClaim(claim))
		if len(c.SigninOrgs) == 0 {
			judge("signin-orgs", "must list the organisations that the claim may name")
		}
		judge("signin-orgs", each(c.SigninOrgs, judgeName))
	default:
		judge("signin-org", judgeName(c.SigninOrg))
		if len(c.SigninOrgs) > 0 {
			judge("signin-orgs", "has no effect unless GRANTD_SIGNIN_ORG is claim:<name>")
		}
	}
}

func judgeName(s string) string {
	if !models.ValidIdentity(s) {
		return "must be an organisation's name, 1 to 128 of the characters A-Z a-z 0-9 . _ @ + -, or claim:<name> in GRANTD_SIGNIN_ORG"
	}
	return ""
}

func judgeClaim(s string) string {
	switch {
	case s == "" || models.Unprintable(s) > 0:
		return "must name a claim, such as sub or groups"
	case slices.Contains(changeable, s):
		return fmt.Sprintf("the claim %s does not identify anybody: people can change it, or it passes to somebody else. Use sub, or another claim that never changes", s)
	}
	return ""
}

func judgeScope(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return fmt.Sprintf("%q is not a scope", s)
	}
	return ""
}

// parseMatch reads claim=value.
func parseMatch(s string) (broker.Match, string) {
	claim, value, ok := strings.Cut(s, "=")
	if !ok || claim == "" || value == "" {
		return broker.Match{}, fmt.Sprintf("%q is not claim=value, such as groups=admins", s)
	}
	return broker.Match{Claim: claim, Value: value}, ""
}

// signInSecret is the client's secret, from its setting or its file.
func (c *Config) signInSecret() (models.Secret, string) {
	if c.SigninClientSecretFile == "" {
		return c.SigninClientSecret, ""
	}
	if c.SigninClientSecret != "" {
		return "", "is given beside GRANTD_SIGNIN_CLIENT_SECRET_FILE; give one of them"
	}
	content, err := os.ReadFile(c.SigninClientSecretFile)
	if err != nil {
		return "", "the file of GRANTD_SIGNIN_CLIENT_SECRET_FILE cannot be read: " + errors.Unwrap(err).Error()
	}
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		return "", "the file of GRANTD_SIGNIN_CLIENT_SECRET_FILE is empty"
	}
	return models.Secret(secret), ""
}

// signIn is what the settings say, once they have been judged.
func (c *Config) signIn() broker.SignIn {
	if c.SigninIssuer == "" {
		return broker.SignIn{}
	}
	secret, _ := c.signInSecret()
	s := broker.SignIn{Name: c.SigninName, Issuer: c.SigninIssuer, ClientID: c.SigninClientID, ClientSecret: secret,
		Scopes: c.SigninScopes, Org: c.SigninOrg, UserClaim: c.SigninUserClaim, Shared: c.SigninUsers == "shared"}
	if !slices.Contains(s.Scopes, "openid") {
		s.Scopes = append([]string{"openid"}, s.Scopes...)
	}
	if claim, ok := strings.CutPrefix(c.SigninOrg, "claim:"); ok {
		s.Org, s.OrgClaim, s.Orgs = "", claim, c.SigninOrgs
	}
	s.AdminIf, _ = parseMatch(c.SigninAdminIf)
	for _, text := range c.SigninRequire {
		m, _ := parseMatch(text)
		s.Require = append(s.Require, m)
	}
	return s
}

func (c *Config) sessionLife() broker.SessionLife {
	return broker.SessionLife{Idle: c.SessionIdle, Whole: c.SessionLife, AdminIdle: c.SessionIdleAdmin, AdminWhole: c.SessionLifeAdmin}
}
