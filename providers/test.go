package providers

import "golang.org/x/oauth2"

// testType is the test authorization server: the RFCs, and nothing else. It
// exists only where an operator names one.
func testType(base string) *Type {
	return &Type{
		Name:          "test",
		DisplayName:   "Test",
		DefaultHost:   base,
		SelfManaged:   true,
		DefaultScopes: []string{"profile", "email"},
		Behaviour: Behaviour{
			RefreshKillsAccess: true,
			RevokesSingly:      true,
			RevokesAccessAlone: true,
			Rotates:            true,
			Device:             true,
		},
		hooks: hooks{
			at: testAt,
		},
	}
}

func testAt(_ Client, base string) Endpoints {
	return Endpoints{
		Endpoint: oauth2.Endpoint{
			AuthURL:   base + "/authorize",
			TokenURL:  base + "/token",
			AuthStyle: oauth2.AuthStyleInHeader,

			DeviceAuthURL: base + "/device",
		},
		Revoke:     base + "/revoke",
		Introspect: base + "/introspect",
		UserInfo:   base + "/userinfo",
		Issuer:     base,
		// It sends iss with every response, as its metadata says.
		SaysIssuer: true,
	}
}
