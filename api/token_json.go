package api

import "github.com/grantd/grantd/models"

// The answers with a token are those that are asked for thousands of times a second,
// and encoding/json took a tenth of the processor's time to write it. So here are the
// shapes of Token, models.Authorization and models.Provider once more. The document
// and every other answer are made from their JSON tags; a test holds the two against
// each other.

// json is the token as it is sent.
func (t *Token) json() ([]byte, error) {
	e := encoder{to: make([]byte, 0, 2048)}
	e.token(t)
	return append(e.to, '\n'), e.err
}

// json is the answer to an exchange as it is sent, for which the same is true.
func (x ExchangeAnswer) json() ([]byte, error) {
	e := encoder{to: make([]byte, 0, 512)}
	e.open()
	e.text("access_token", x.AccessToken)
	e.text("issued_token_type", x.IssuedTokenType)
	e.text("token_type", x.TokenType)
	if x.ExpiresIn != 0 {
		e.number("expires_in", x.ExpiresIn)
	}
	e.text("scope", x.Scope)
	e.close()
	return append(e.to, '\n'), e.err
}

func (e *encoder) token(t *Token) {
	e.open()
	e.text("accessToken", t.AccessToken)
	e.timeIfAny("expiresAt", t.ExpiresAt)
	e.key("authorizedOauthProvider")
	e.authorization(t.Authorization)
	e.close()
}

func (e *encoder) authorization(a *models.Authorization) {
	if a == nil {
		e.null()
		return
	}
	e.open()
	e.text("id", a.ID)
	e.text("orgId", a.OrgID)
	e.text("userId", a.UserID)
	e.text("credentialId", a.CredentialID)
	e.text("oauthClientId", a.OAuthClientID)
	e.strings("scopes", a.Scopes)
	e.strings("missingScopes", a.MissingScopes)
	if a.ScopesCut {
		e.bool("scopesCut", true)
	}
	e.time("createdAt", a.CreatedAt)
	e.text("status", string(a.Status))
	e.key("provider")
	e.provider(a.Provider)
	if a.Reason != "" {
		e.text("reason", string(a.Reason))
	}
	if a.ReasonMessage != "" {
		e.text("reasonMessage", a.ReasonMessage)
	}
	e.timeIfAny("refreshTokenExpiresAt", a.RefreshTokenExpiresAt)
	if a.Account != nil {
		e.key("account")
		e.open()
		e.text("sub", a.Account.Sub)
		e.text("login", a.Account.Login)
		e.text("email", a.Account.Email)
		e.close()
	}
	e.timeIfAny("expiresAt", a.ExpiresAt)
	e.timeIfAny("refreshedAt", a.RefreshedAt)
	e.timeIfAny("lastFetchedAt", a.LastFetchedAt)
	e.close()
}

func (e *encoder) provider(p *models.Provider) {
	if p == nil {
		e.null()
		return
	}
	e.open()
	e.text("id", p.ID)
	e.text("orgId", p.OrgID)
	e.text("name", p.Name)
	e.text("slug", p.Slug)
	e.text("type", p.Type)
	e.text("status", string(p.Status))
	e.text("clientId", p.ClientID)
	e.text("secureConfigId", p.SecureConfigID)
	e.bool("skipConsent", p.SkipConsent)
	e.key("metadata")
	e.open()
	e.text("host", p.Metadata.Host)
	e.text("settingsUrl", p.Metadata.SettingsURL)
	if p.Metadata.AdminConsentURL != "" {
		e.text("adminConsentUrl", p.Metadata.AdminConsentURL)
	}
	e.close()
	e.strings("scopes", p.Scopes)
	e.strings("redirectUris", p.RedirectURIs)
	e.settings("config", p.Config)
	if p.Description != "" {
		e.text("description", p.Description)
	}
	if p.ManagedBy != "" {
		e.text("managedBy", p.ManagedBy)
	}
	if f := p.FormerSecret; f != nil {
		e.key("formerSecret")
		e.open()
		e.time("expiresAt", f.ExpiresAt)
		if f.UsedAt == nil {
			e.key("usedAt")
			e.null()
		}
		e.timeIfAny("usedAt", f.UsedAt)
		e.close()
	}
	e.time("createdAt", p.CreatedAt)
	e.time("updatedAt", p.UpdatedAt)
	e.close()
}
