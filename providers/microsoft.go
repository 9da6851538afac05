package providers

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

// microsoftType is Microsoft Entra ID (v2.0) and personal Microsoft accounts, for
// Microsoft Graph. config.tenant says whose accounts: common (the default),
// organizations, consumers, or one tenant by its id or domain; config.cloud names a
// national cloud.
//
// The redirect URI must be registered at Entra for the platform "Web". As a
// single-page application's its refresh tokens live for a day, and the token
// endpoint wants an Origin that no server sends.
//
// Nothing is discovered. Entra's metadata does not say that it takes PKCE, so who
// believes it leaves PKCE away; and the issuer in it is a template for common and
// organizations.
func microsoftType() *Type {
	return &Type{
		Name:        "microsoft",
		DisplayName: "Microsoft",
		DefaultHost: "login.microsoftonline.com",
		tokenHosts:  []string{"dev.azure.com", "visualstudio.com"}, // Azure DevOps
		// User.Read is for user info, offline_access for a refresh token.
		DefaultScopes: []string{"openid", "profile", "email", "offline_access", "User.Read"},
		ScopeWords:    microsoftScopeWords,

		settings: []setting{
			{name: "cloud", check: isMicrosoftCloud, about: About{Label: "Cloud", Help: "The national cloud, if it is not the global one.", Entry: EntryChoice, Choices: slices.Sorted(maps.Keys(microsoftClouds))}},
			{name: "tenant", check: isMicrosoftTenant, about: About{Label: "Tenant", Help: "Whose accounts: common, organizations, consumers, or one tenant by its id or domain.", Example: "contoso.onmicrosoft.com"}},
		},
		idToken: SourceIDToken, // its sub is another name than Graph's id
		Behaviour: Behaviour{
			// A refresh brings a new refresh token and lets the old one live, as it does the
			// old access token. Unused ones live for 90 days, and no answer says so:
			// https://learn.microsoft.com/entra/identity-platform/refresh-tokens
			RefreshKillsAccess: false,
			Rotates:            false,
			RefreshLife:        90 * 24 * time.Hour,
			// There is no revocation. The nearest thing, Graph's revokeSignInSessions, ends
			// the person's sessions with every application, and so is never called. What is
			// never sent ends nothing.
			RevokesSingly: true,
			Device:        true,
		},
		hooks: hooks{
			at:          microsoftAt,
			fixedBefore: func(u *upstream) []string { return u.e.urls() }, // the tenant is in the paths
			authorize:   microsoftAuthorize,
			refresh:     microsoftRefresh,
			grants:      microsoftGrants,
			isIssuer:    microsoftIsIssuer,
			user:        microsoftUser,
		},
	}
}

// microsoftClouds are the clouds there are: a free choice of host would be a choice
// of who gets the tokens. Where people withdraw consent and admins register clients
// in the national ones is not documented.
var microsoftClouds = map[string]struct{ login, graph, apps, register string }{
	"global": {"https://login.microsoftonline.com", "https://graph.microsoft.com", "https://myapps.microsoft.com", "https://entra.microsoft.com/#view/Microsoft_AAD_RegisteredApps/ApplicationsListBlade"},
	"usgov":  {"https://login.microsoftonline.us", "https://graph.microsoft.us", "", ""},
	"china":  {"https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn", "", ""},
}

func isMicrosoftCloud(_ allowlist, v any) string {
	name, _ := v.(string)
	if _, ok := microsoftClouds[name]; !ok {
		return "must be one of " + strings.Join(slices.Sorted(maps.Keys(microsoftClouds)), ", ")
	}
	return ""
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// The tenants that are not one. The last is where personal accounts live.
const (
	anyAccount     = "common"
	workAccounts   = "organizations"
	ownAccounts    = "consumers"
	personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"
)

// isMicrosoftTenant lets nothing pass that is not one safe segment of a path.
func isMicrosoftTenant(_ allowlist, v any) string {
	tenant, _ := v.(string)
	domain := strings.Contains(tenant, ".") && len(tenant) <= 253 && hostname.MatchString(tenant) && !numeric.MatchString(tenant)
	if tenant == anyAccount || tenant == workAccounts || tenant == ownAccounts || guid.MatchString(tenant) || domain {
		return ""
	}
	return "must be common, organizations, consumers, or a tenant by its id or domain, in lower case"
}

func microsoftTenant(c Client) string {
	tenant, _ := c.Config["tenant"].(string)
	return cmp.Or(tenant, anyAccount)
}

// microsoftAt derives everything from the tenant and the cloud. There is no endpoint
// for an unknown cloud.
func microsoftAt(c Client, _ string) Endpoints {
	tenant, name := microsoftTenant(c), "global"
	if v, given := c.Config["cloud"]; given {
		name, _ = v.(string)
	}
	cloud, ok := microsoftClouds[name]
	if !ok || isMicrosoftTenant(allowlist{}, tenant) != "" {
		return Endpoints{}
	}
	base := cloud.login + "/" + tenant
	e := Endpoints{
		Endpoint: oauth2.Endpoint{
			AuthURL:   base + "/oauth2/v2.0/authorize",
			TokenURL:  base + "/oauth2/v2.0/token",
			AuthStyle: oauth2.AuthStyleInParams,

			DeviceAuthURL: base + "/oauth2/v2.0/devicecode",
		},
		API:          cloud.graph + "/v1.0",
		Settings:     cloud.apps,
		Register:     cloud.register,
		AdminConsent: base + "/v2.0/adminconsent",
		Keys:         base + "/discovery/v2.0/keys",
	}
	switch tenant {
	case anyAccount: // personal accounts have no admin
		e.AdminConsent = cloud.login + "/" + workAccounts + "/v2.0/adminconsent"
	case ownAccounts:
		e.AdminConsent, e.Settings = "", "https://account.live.com/consent/Manage"
	}
	return e
}

// microsoftAuthorize prompts unless told not to. Where a tenant lets no user consent,
// prompt=consent fails even after its admin has consented for all: such providers
// are for skipConsent. response_mode would otherwise be Entra's to choose.
func microsoftAuthorize(_ *upstream, req AuthorizeRequest) map[string]string {
	extra := map[string]string{"response_mode": "query"}
	if !req.SkipConsent {
		extra["prompt"] = "consent"
	}
	return extra
}

const defaultScope = "/.default"

// microsoftRefresh sends the scopes that were granted, which Entra wants again:
// without offline_access, which its answers leave out, there would be no next
// refresh token, and /.default, which they repeat, must not stand beside others.
func microsoftRefresh(u *upstream, t Tokens) map[string]string {
	named := func(scope string) bool { return !strings.HasSuffix(scope, defaultScope) }
	var scopes []string
	for _, scope := range t.Scopes {
		if named(scope) {
			scopes = append(scopes, scope)
		}
	}
	const offline = "offline_access"
	switch {
	case len(scopes) == 0:
		scopes = u.scopes()
	case slices.Contains(u.scopes(), offline) && !slices.Contains(scopes, offline):
		scopes = append(scopes, offline)
	}
	if len(scopes) == 0 {
		return nil
	}
	return map[string]string{"scope": strings.Join(scopes, " ")}
}

// microsoftGrants: answers name a scope of Graph with or without Graph's address, in
// whichever case, and may leave out those of OpenID Connect.
func microsoftGrants(granted []string, scope string) bool {
	if strings.HasSuffix(scope, defaultScope) { // whatever is registered
		return true
	}
	scope = microsoftScope(scope)
	if slices.Contains([]string{"openid", "profile", "email", "offline_access"}, scope) {
		return true
	}
	return slices.ContainsFunc(granted, func(g string) bool { return microsoftScope(g) == scope })
}

func microsoftScope(scope string) string {
	scope = strings.ToLower(scope)
	for _, cloud := range microsoftClouds {
		if short, ok := strings.CutPrefix(scope, cloud.graph+"/"); ok {
			return short
		}
	}
	return scope
}

// microsoftIsIssuer judges an iss, which Entra does not send yet. An issuer names one
// tenant, by its id. Which one is known where the provider names it so, or is for
// personal accounts.
func microsoftIsIssuer(u *upstream, iss string) bool {
	base, _, _ := strings.Cut(u.e.TokenURL, "/oauth2/")
	tenant := microsoftTenant(u.c)
	id, ok := strings.CutPrefix(iss, strings.TrimSuffix(base, tenant))
	id, whole := strings.CutSuffix(id, "/v2.0")
	switch {
	case !ok || !whole || base == "":
		return false
	case id == tenant:
		return true
	case guid.MatchString(tenant), !guid.MatchString(id):
		return false
	case tenant == ownAccounts:
		return id == personalTenant
	case tenant == anyAccount:
		return true
	}
	return id != personalTenant // organizations, or a domain, whose tenant's id is not known
}

// microsoftUser maps Graph's GET /me, and nothing but that: the sub of id_tokens and
// of the OpenID user info is another name for the same person. The id is for good.
// Addresses are what the admin of any tenant writes there, so they identify nobody
// (nOAuth). A photo answers only to a token, and is left out.
func microsoftUser(ctx context.Context, u *upstream, access models.Secret) (models.User, error) {
	a, err := u.get(ctx, u.e.API+"/me", access, "application/json")
	if err != nil {
		return models.User{}, err
	}
	principal := a.text("userPrincipalName")
	return models.User{
		Sub:         identifier(a.object["id"]),
		Name:        a.text("displayName"),
		GivenName:   a.text("givenName"),
		FamilyName:  a.text("surname"),
		NickName:    principal,
		Email:       cmp.Or(a.text("mail"), mailbox(principal)),
		Locale:      a.text("preferredLanguage"),
		Description: a.text("jobTitle"),
		Raw:         a.object,
	}, nil
}

// mailbox takes a principal name for an address where it can be one: a guest's is
// made of the address at home, and no mail arrives there.
func mailbox(principal string) string {
	if !strings.Contains(principal, "@") || strings.Contains(strings.ToUpper(principal), "#EXT#") {
		return ""
	}
	return principal
}

// microsoftScopeWords are from https://learn.microsoft.com/graph/permissions-reference.
var microsoftScopeWords = map[string]string{
	"User.Read":           "Read your profile",
	"User.ReadBasic.All":  "See the names of people in your organisation",
	"User.Read.All":       "Read the profiles of people in your organisation",
	"Mail.Read":           "Read your mail",
	"Mail.ReadWrite":      "Read, change and delete your mail",
	"Mail.Send":           "Send mail as you",
	"Calendars.Read":      "See your calendars",
	"Calendars.ReadWrite": "Read and change your calendars",
	"Contacts.Read":       "See your contacts",
	"Contacts.ReadWrite":  "Read and change your contacts",
	"Files.Read":          "Read your files",
	"Files.ReadWrite":     "Read, change and delete your files",
	"Files.Read.All":      "Read all files that you can open",
	"Files.ReadWrite.All": "Read, change and delete all files that you can open",
	"Sites.Read.All":      "Read all SharePoint sites that you can open",
	"Tasks.Read":          "See your tasks",
	"Tasks.ReadWrite":     "Read and change your tasks",
	"Notes.Read":          "Read your notebooks",
	"Chat.Read":           "Read your chats",
	"Chat.ReadWrite":      "Read your chats, and write in them",
	"Team.ReadBasic.All":  "See which teams you belong to",
	"Group.Read.All":      "See the groups that you can see",
}
