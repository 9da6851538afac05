// Package clienttest is a grantd for the tests of services: an HTTP server in the test's process that answers what a
// service asks, in the shapes and with the errors of the real one.
//
//	grantd := clienttest.Start()
//	defer grantd.Close()
//	id := grantd.Connect("ada", clienttest.Account{Login: "ada"})
//	c := client.New(grantd.URL, models.Secret(grantd.Token), nil).For("ada")
//	token, err := c.Token(ctx, id)
//
// It has one provider, one organisation, and one API token, which has the role service. It knows the providers, the
// authorizations with their tokens and checks, connect links, the token for git, and the exchange; everything else is 404.
// The tests of grantd hold it to the real one: the same requests, the same answers.
//
// It imports nothing but the standard library and models.
package clienttest
