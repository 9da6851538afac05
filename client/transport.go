package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrOrigin says that a request was not sent, because its origin is none that the token may go to.
var ErrOrigin = errors.New("the token may not be sent there")

// checkEvery is how often a 401 of the upstream may lead to a check of an authorization.
const checkEvery = 30 * time.Second

// Transport is an [http.RoundTripper] that sends an authorization's access token with every request, to its origins alone:
//
//	h := &http.Client{Transport: c.Transport(id, "https://api.github.com")}
//
// A request to another origin, or by plain http, is an error ([ErrOrigin]), and so is a redirect that leads there: the
// token is never sent to it. When the upstream answers 401, grantd is asked whether the token is valid, at most once in 30
// seconds for each authorization; only if it is not, the request is sent once more, with the new token, if its body can be
// read again. It is safe for concurrent use. Its fields may be set before it is used.
type Transport struct {
	Tokens Tokens            // where tokens come from: the client, or a Store
	Base   http.RoundTripper // nil for http.DefaultTransport

	client        *Client
	authorization string
	origins       []string // none for those of the provider
}

// Transport returns a transport for an authorization. Origins are such as https://api.example.com or
// https://api.example.com:8443; with none, they are those of the provider's config.match.
func (c *Client) Transport(authorization string, origins ...string) *Transport {
	return &Transport{Tokens: c, client: c, authorization: authorization, origins: origins}
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := t.roundTrip(request)
	if err != nil && request.Body != nil {
		_ = request.Body.Close() // the contract of RoundTripper; the error is told already
	}
	return answer, err
}

func (t *Transport) roundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	if request.URL.Scheme != "https" { // before anybody is asked for a token
		return nil, fmt.Errorf("%w: %s does not begin with https://", ErrOrigin, shown(request.URL))
	}
	token, err := t.Tokens.Token(ctx, t.authorization)
	if err != nil {
		return nil, err
	}
	if err := t.allows(request.URL, token); err != nil {
		return nil, err
	}
	answer, err := t.send(request, request.Body, token)
	if err != nil || answer.StatusCode != http.StatusUnauthorized {
		return answer, err
	}
	again, renewed, ok := t.renewed(request, token)
	if !ok {
		return answer, nil
	}
	_ = answer.Body.Close() // another answer is wanted
	return t.send(again, again.Body, renewed)
}

func (t *Transport) send(request *http.Request, body io.ReadCloser, token Token) (*http.Response, error) {
	out := request.Clone(request.Context()) // which is not ours to change
	out.Body = body
	out.Header.Set("Authorization", "Bearer "+token.AccessToken.Reveal())
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	return base.RoundTrip(out)
}

// renewed is the request once more, and the token to send it with, where grantd finds that the upstream does not accept
// the one it was sent with.
func (t *Transport) renewed(request *http.Request, used Token) (*http.Request, Token, bool) {
	again := request.Clone(request.Context())
	if request.Body != nil && request.Body != http.NoBody {
		if request.GetBody == nil {
			return nil, used, false
		}
		body, err := request.GetBody()
		if err != nil {
			return nil, used, false
		}
		again.Body = body
	}
	fresh, ok := t.replacement(request.Context(), used)
	if !ok && again.Body != nil {
		_ = again.Body.Close() // it is not sent
	}
	return again, fresh, ok
}

func (t *Transport) replacement(ctx context.Context, used Token) (Token, bool) {
	if !t.client.checks.refused(ctx, t.client, t.authorization) {
		return used, false
	}
	fresh, err := t.client.Token(ctx, t.authorization)
	return fresh, err == nil && fresh.AccessToken != used.AccessToken
}

// allows returns why the token may not be sent to a URL.
func (t *Transport) allows(to *url.URL, token Token) error {
	origins := t.origins
	if len(origins) == 0 {
		origins = token.origins()
	}
	if len(origins) == 0 {
		return fmt.Errorf("%w: the provider's config.match lists no places; give Transport the origins", ErrOrigin)
	}
	if !slices.ContainsFunc(origins, func(allowed string) bool { return sameOrigin(allowed, to) }) {
		return fmt.Errorf("%w: %s is none of %s", ErrOrigin, shown(to), strings.Join(origins, ", "))
	}
	return nil
}

// shown is the origin of an address, without what else is in it.
func shown(u *url.URL) string { return u.Scheme + "://" + u.Host }

// origins are those of the provider's config.match, whose entries are hosts with a port or a path if need be.
func (t Token) origins() []string {
	if t.Authorization.Provider == nil {
		return nil
	}
	places, _ := t.Authorization.Provider.Config["match"].([]any)
	var all []string
	for _, place := range places {
		if text, ok := place.(string); ok {
			host, _, _ := strings.Cut(text, "/")
			all = append(all, "https://"+host)
		}
	}
	return all
}

// sameOrigin compares scheme, host and port. What is no https origin allows nothing.
func sameOrigin(allowed string, to *url.URL) bool {
	u, err := url.Parse(allowed)
	return err == nil && u.Scheme == "https" && to.Scheme == "https" && u.User == nil && strings.Trim(u.Path, "/") == "" && u.Host != "" &&
		strings.EqualFold(u.Hostname(), to.Hostname()) && portOf(u) == portOf(to)
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return "443"
}

// checks remembers for each authorization what was found out last.
type checks struct {
	mu   sync.Mutex
	last map[string]*checked
}

type checked struct {
	at      time.Time
	done    chan struct{} // closed once refused is known
	refused bool
}

func newChecks() *checks { return &checks{last: map[string]*checked{}} }

// refused asks grantd, at most once in a while, whether the upstream does not accept an authorization's token. Callers that
// come meanwhile share the answer. Nothing found out counts as accepted.
func (k *checks) refused(ctx context.Context, c *Client, authorization string) bool {
	key := c.user + "/" + authorization
	k.mu.Lock()
	one := k.last[key]
	mine := one == nil || time.Since(one.at) >= checkEvery
	if mine {
		for old, other := range k.last {
			if time.Since(other.at) >= checkEvery {
				delete(k.last, old)
			}
		}
		one = &checked{at: time.Now(), done: make(chan struct{})}
		k.last[key] = one
	}
	k.mu.Unlock()
	if mine {
		found, err := c.CheckToken(ctx, authorization)
		one.refused = err == nil && !found.Valid
		close(one.done)
		return one.refused
	}
	select {
	case <-ctx.Done():
		return false
	case <-one.done:
		return one.refused
	}
}

var _ http.RoundTripper = (*Transport)(nil)
