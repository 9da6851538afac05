package providers

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Which origin an answer came from is measured where it arrives, and never read from
// a client's config: what config names need not be what is called, and what others
// share, such as a pause of a whole origin, must not follow from what one tenant wrote.

type answersKey struct{}

// answers are the origins that answered the calls made under one context.
type answers struct {
	mu      sync.Mutex
	origins []string
}

// WithAnswers returns a context under which AnsweredBy tells who answered.
func WithAnswers(ctx context.Context) context.Context {
	return context.WithValue(ctx, answersKey{}, &answers{})
}

// AnsweredBy returns the origins that answered calls under ctx, the last one last. It
// is empty when there was no answer, or when the answer is that of somebody else's call,
// as it may be for an issuer's metadata.
func AnsweredBy(ctx context.Context) []string {
	a, ok := ctx.Value(answersKey{}).(*answers)
	if !ok {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.origins)
}

func noteAnswer(req *http.Request) {
	a, ok := req.Context().Value(answersKey{}).(*answers)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.origins = append(a.origins, called(req.URL))
}

// called names the origin of a URL in one way, however it is written.
func called(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}

// Purpose is what an upstream is called for.
type Purpose int

// The purposes.
const (
	ForTokens     Purpose = iota // the token endpoint, and what stands in for it
	ForRevocation                // giving tokens back
	ForFacts                     // user info, and whether a token is good
)

// CalledAt returns the origins that the client's calls of one purpose go to, as far as that is
// known without asking the network: none for an issuer whose metadata has not been read.
func (at Upstream) CalledAt(purpose Purpose) []string {
	u, err := at.recalled()
	if err != nil {
		return nil
	}
	var endpoints []string
	switch purpose {
	case ForTokens:
		endpoints = []string{u.e.TokenURL}
		if u.t.reset != nil {
			endpoints = append(endpoints, u.e.API)
		}
	case ForRevocation:
		endpoints = []string{u.e.Revoke}
		if u.t.revoke != nil {
			endpoints = append(endpoints, u.e.API)
		}
	case ForFacts:
		endpoints = []string{u.e.Introspect, u.e.UserInfo, u.e.API}
	}
	var origins []string
	for _, endpoint := range endpoints {
		if at, err := url.Parse(endpoint); err == nil && at.Host != "" {
			origins = append(origins, called(at))
		}
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}
