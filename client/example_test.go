package client_test

import (
	"context"
	"fmt"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// A person connects an account, and the service fetches a token for it.
func Example() {
	ctx := context.Background()
	c := client.New("https://grantd.example", models.Secret("grd_…"), nil)

	begun, err := c.Authorize(ctx, "the-provider", client.AuthorizeRequest{RedirectURI: "https://app.example/callback"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("send the person to", begun.RedirectURL)

	// The person returns to https://app.example/callback with state and code in the query.
	returned := map[string][]string{"state": {begun.State}, "code": {"from the query"}}
	done, err := c.Complete(ctx, client.ReturnTo("the-provider", returned))
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := c.Token(ctx, done.Authorization.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("Authorization: Bearer", token.AccessToken.Reveal())
}
