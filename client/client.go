package client

import (
	"bytes"
	"context"
	"encoding/json"
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

const root = "/api/v2/externalOAuth/"

// maxAnswer bounds what is read of one answer; a page of 1000 providers has
// about 1 MB.
const maxAnswer = 16 << 20

// Client asks one grantd as one caller. It is safe for concurrent use.
type Client struct {
	base  string
	token models.Secret
	http  *http.Client
	user  string // that the requests are for, "" for the caller's own
}

// New returns a client of the grantd at baseURL. Nil means an HTTP client that
// gives up after 30 s; one that is handed in should not follow redirects.
func New(baseURL string, token models.Secret, h *http.Client) *Client {
	if h == nil {
		h = &http.Client{Timeout: 30 * time.Second, CheckRedirect: stay}
	}
	return &Client{base: strings.TrimRight(baseURL, "/"), token: token, http: h}
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
		return fmt.Errorf("%s %s: reading the answer: %w", method, path, err)
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
	request, err := c.request(ctx, method, path, query, in)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err // it names method and URL
	}
	return answer, nil
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(plain(in))
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+root+path, body)
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
	request.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	request.Header.Set("Accept", "application/json")
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
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
