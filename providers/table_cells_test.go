package providers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// described is a type as it is without settings.
type described struct {
	*Type
	Endpoints
}

// column says one thing about a type.
type column struct {
	name string
	cell func(d described) string
}

var does = []column{
	{"refresh", describeRefresh},
	{"revocation", describeRevocation},
	{"check", describeCheck},
	{"reset", func(d described) string { return either(d.ResetsInPlace, "in place", "by a refresh") }},
	{"device flow", func(d described) string {
		switch {
		case !d.Type.Device:
			return "–"
		case d.DeviceAuthURL == "":
			return d.elsewhere()
		}
		return "yes"
	}},
	{"PKCE", func(described) string { return "S256" }},
	{"user info", describeUser},
	{"scopes by default", func(d described) string { return listed(d.DefaultScopes, "–") }},
	{"settings of its own", func(d described) string {
		var names []string
		for _, s := range d.settings {
			names = append(names, "config."+s.name)
		}
		if d.SelfManaged {
			names = append([]string{"metadata.host"}, names...)
		}
		return listed(names, "–")
	}},
}

var isAt = []column{
	{"authorize", func(d described) string { return d.at(d.AuthURL) }},
	{"token", func(d described) string { return d.at(d.TokenURL) }},
	{"client", func(d described) string {
		if d.elsewhere() != "–" {
			return d.elsewhere()
		}
		return either(d.AuthStyle == oauth2.AuthStyleInHeader, "Basic", "form")
	}},
	{"device", func(d described) string { return either(d.Type.Device, d.at(d.DeviceAuthURL), "–") }},
	{"revocation", func(d described) string {
		if d.Type.revoke != nil && d.Endpoints.Revoke == "" {
			return d.at(d.API)
		}
		return d.at(d.Endpoints.Revoke)
	}},
	{"user info", func(d described) string {
		if d.user != nil && d.Endpoints.UserInfo == "" {
			return d.at(d.API)
		}
		return d.at(d.Endpoints.UserInfo)
	}},
	{"settings page", func(d described) string {
		if d.Settings == "" && !d.discovers { // no metadata names one
			return d.elsewhere()
		}
		return either(d.Settings == "", "–", d.Settings)
	}},
}

// elsewhere says who names what the type does not.
func (d described) elsewhere() string {
	switch {
	case d.discovers:
		return "metadata"
	case d.DefaultHost == "":
		return "config"
	}
	return "–"
}

func (d described) at(endpoint string) string {
	if endpoint == "" {
		return d.elsewhere()
	}
	return "`" + strings.TrimPrefix(endpoint, "https://") + "`"
}

func describeRefresh(d described) string {
	parts := []string{either(d.Rotates, "rotates", "the old refresh token stays valid"),
		either(d.RefreshKillsAccess, "ends the old access token", "the old access token stays valid")}
	if d.RefreshLife > 0 {
		parts = append(parts, fmt.Sprintf("expires after %d idle days", d.RefreshLife/(24*time.Hour)))
	}
	return strings.Join(parts, "; ")
}

func describeRevocation(d described) string {
	if d.revoke == nil && d.Endpoints.Revoke == "" && d.elsewhere() == "–" {
		return "none"
	}
	parts := []string{"all that the person granted to the client"}
	switch {
	case d.RevokesAccessAlone:
		parts = []string{"a pair, or the access token alone"}
	case d.RevokesSingly:
		parts = []string{"a pair"}
	case d.domain != nil:
		parts = []string{"all that the person granted, beyond the client"}
	}
	if d.RevokeNeedsAccess {
		parts = append(parts, "by a living access token")
	}
	if d.revoke == nil && d.Endpoints.Revoke == "" {
		parts = append(parts, "where "+d.elsewhere()+" names it")
	}
	return strings.Join(parts, "; ")
}

func describeCheck(d described) string {
	switch {
	case d.Type.check != nil:
		return "a call of its own"
	case d.Endpoints.Introspect != "":
		return "introspection"
	case d.elsewhere() != "–":
		return "introspection, else user info"
	}
	return "user info"
}

func describeUser(d described) string {
	parts := []string{either(d.user != nil, "its own", "OpenID claims")}
	if d.openID {
		parts = append(parts, "id_token")
	}
	return strings.Join(parts, "; ")
}

func either(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func listed(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	quoted := slices.Clone(names)
	for i, name := range quoted {
		quoted[i] = "`" + name + "`"
	}
	return strings.Join(quoted, " ")
}
