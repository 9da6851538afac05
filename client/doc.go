// Package client calls grantd: the OAuth Providers API, the external-auth API, and the standard exchange.
//
//	c := client.New("https://grantd.example", token, nil)
//	p, err := c.CreateProvider(ctx, models.ProviderInput{Name: "GitHub", Type: "github", …})
//	…
//	t, err := c.Token(ctx, authorization)   // before every call to the upstream
//
// What a service needs: a [Client] that authenticates with an API token, or with a token that the platform keeps in a file
// ([NewWith], [TokenFile]), for one user or ([Client.For]) for many; a [Store], which goes on while grantd is away for a
// moment; and a [Transport], which adds the token to requests to the upstream's origins and to no other. [TokenSource] is
// for libraries that take a source of tokens. Tests use the package clienttest.
//
// Whatever grantd refuses comes back as an [*Error] with its sentence for people; [errors.Is] tells what it is about, such
// as [ErrConsentNeeded]. Requests that can do no harm are repeated where that may help: see [Client.Once]. Redirects are
// never followed: grantd sends none, so one means that the base URL is not grantd's, and the token must not travel on.
//
// The package imports nothing but the standard library and models.
package client
