// Package client calls grantd's OAuth Providers API.
//
//	c := client.New("https://grantd.example", token, nil)
//	p, err := c.CreateProvider(ctx, models.ProviderInput{Name: "GitHub", Type: "github", …})
//	…
//	t, err := c.Token(ctx, authorization)   // before every call to the upstream
//
// Whatever grantd refuses comes back as an [*Error] with its sentence for
// people. Redirects are never followed: grantd sends none, so one means that
// the base URL is not grantd's, and the token must not travel on.
package client
