package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

const (
	root     = "/api/v2/externalOAuth/"
	version2 = "/api/v2"
)

// maxAnswer bounds what is read of one answer; a page of 1000 providers has
// about 1 MB.
const maxAnswer = 16 << 20

// Client asks one grantd as one caller. It is safe for concurrent use.
type Client struct {
	base        string
	credentials Credentials
	http        *http.Client
	user        string // that the requests are for, "" for the caller's own
	tries       int    // how often a request is sent at most
	checks      *checks
}

// New returns a client of the grantd at baseURL, which authenticates with an API token or a token of a trusted issuer. Nil
// means an HTTP client that gives up after 30 s. Redirects are not followed.
func New(baseURL string, token models.Secret, h *http.Client) *Client {
	return NewWith(baseURL, Static(token), h)
}

// NewWith is New for credentials that change, such as a token that a platform renews: see [TokenFile].
func NewWith(baseURL string, c Credentials, h *http.Client) *Client {
	if h == nil {
		h = &http.Client{Timeout: 30 * time.Second}
	}
	own := *h
	own.CheckRedirect = stay
	return &Client{base: strings.TrimRight(baseURL, "/"), credentials: c, http: &own, tries: usualTries, checks: newChecks()}
}

// For returns a client whose requests are for a user: they carry its name. It is for API tokens of the role service,
// which have to name the user of every request about consents and authorizations.
func (c *Client) For(user string) *Client {
	named := *c
	named.user = user
	return &named
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// call sends one request and decodes the answer into out, unless that is nil.
// in may be nil, for a request without a body.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	answer, err := c.send(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s %s: %w: reading the answer: %w", method, path, ErrUnavailable, err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return refused(answer, body)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not what grantd sends: %w", method, path, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, in any) (*http.Response, error) {
	return c.repeat(ctx, func() (*http.Request, error) { return c.request(ctx, method, path, query, in) })
}

// repeat sends a request, and again where that may help and does no harm.
func (c *Client) repeat(ctx context.Context, next func() (*http.Request, error)) (*http.Response, error) {
	for try := 1; ; try++ {
		request, err := next()
		if err != nil {
			return nil, err
		}
		answer, err := c.do(request)
		wait, again := c.retry(request, answer, err, try)
		if !again {
			return answer, err
		}
		if answer != nil {
			_ = answer.Body.Close() // another answer is wanted
		}
		if !pause(ctx, wait) {
			return nil, fmt.Errorf("%s %s: %w", request.Method, request.URL.Path, ctx.Err())
		}
	}
}

// do sends one request. That no answer came is ErrUnavailable, unless the caller gave up.
func (c *Client) do(request *http.Request) (*http.Response, error) {
	answer, err := c.http.Do(request)
	if err == nil {
		return answer, nil
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // the address, which it names, has states in its query
	}
	if request.Context().Err() == nil {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil, fmt.Errorf("%s %s: %w", request.Method, request.URL.Path, err)
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values, in any) (*http.Request, error) {
	var body io.Reader
	var media string
	if in != nil {
		b, err := json.Marshal(plain(in))
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		body, media = bytes.NewReader(b), "application/json"
	}
	request, err := c.prepare(ctx, method, below(path), media, body)
	if err != nil {
		return nil, err
	}
	if c.user != "" && !query.Has("userId") {
		query = maps.Clone(query)
		if query == nil {
			query = url.Values{}
		}
		query.Set("userId", c.user)
	}
	request.URL.RawQuery = query.Encode()
	return request, nil
}

// prepare makes a request with the credentials. media is the type of the body, "" for none.
func (c *Client) prepare(ctx context.Context, method, path, media string, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	token, err := c.credentials(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s %s: the credentials: %w", method, path, err)
	}
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	request.Header.Set("Accept", "application/json")
	if media != "" {
		request.Header.Set("Content-Type", media)
	}
	return request, nil
}

// below is where a path is: those of the OAuth Providers API are relative.
func below(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return root + path
}

// plain is a body as it is sent: with its secrets in plain text, because a models.Secret
// encodes as "[redacted]". It is made of the same fields under the same tags, and nothing
// but the request holds it.
func plain(body any) any {
	v := reflect.ValueOf(body)
	if v.Kind() != reflect.Struct {
		return body
	}
	fields := make([]reflect.StructField, v.NumField())
	for i := range fields {
		fields[i] = v.Type().Field(i)
		switch fields[i].Type {
		case reflect.TypeFor[models.Secret]():
			fields[i].Type = reflect.TypeFor[string]()
		case reflect.TypeFor[*models.Secret]():
			fields[i].Type = reflect.TypeFor[*string]()
		}
	}
	revealed := reflect.New(reflect.StructOf(fields)).Elem()
	for i, f := range fields {
		revealed.Field(i).Set(v.Field(i).Convert(f.Type))
	}
	return revealed.Interface()
}

// at builds a path of which the id is one segment, whatever it holds.
func at(kind, id string, rest ...string) string {
	return kind + "/" + url.PathEscape(id) + "/" + strings.Join(rest, "")
}
