package client

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/grantd/grantd/models"
)

// Credentials give what a client authenticates with: an API token, or a token of an issuer that the operator trusts. They
// are asked before every request, so that a token which a platform renews is never an old one.
type Credentials func(context.Context) (models.Secret, error)

// Static are credentials that do not change.
func Static(token models.Secret) Credentials {
	return func(context.Context) (models.Secret, error) { return token, nil }
}

// TokenFile are credentials that something else keeps in a file, such as the projected service account token of
// Kubernetes. White space around the token is left out.
func TokenFile(path string) Credentials {
	return func(context.Context) (models.Secret, error) {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		token := strings.TrimSpace(string(content))
		if token == "" {
			return "", errors.New(path + " is empty; it should hold a token")
		}
		return models.Secret(token), nil
	}
}
