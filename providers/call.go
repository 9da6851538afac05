package providers

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

// answer is what an upstream said, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
	object map[string]any // the body as a JSON object or form, nil when it is neither
}

func readAnswer(resp *http.Response) (*answer, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		e := asError(err)
		e.Status = resp.StatusCode
		return nil, e
	}
	a := &answer{status: resp.StatusCode, header: resp.Header, body: body}
	a.object = a.parse()
	return a, nil
}

func (a *answer) ok() bool { return a.status/100 == 2 }

// text returns a field that is a string, else "".
func (a *answer) text(name string) string {
	s, _ := a.object[name].(string)
	return s
}

// parse reads the body as JSON whatever its type says, else as a form where the
// type says so: GitHub answers with one to those who did not ask for JSON.
func (a *answer) parse() map[string]any {
	var object map[string]any
	if decode(a.body, &object) == nil {
		return object
	}
	media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	values, err := url.ParseQuery(string(a.body))
	if media != "application/x-www-form-urlencoded" && media != "text/plain" || err != nil ||
		!values.Has("access_token") && !values.Has("error") {
		return nil
	}
	object = map[string]any{}
	for name := range values {
		object[name] = values.Get(name)
	}
	return object
}

// decode reads JSON with its numbers as they are written: ids are longer than a
// float64 is exact.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	return d.Decode(into)
}

// send makes one request and reads the whole answer, whatever its status.
func send(client *http.Client, req *http.Request) (*answer, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, asError(err)
	}
	return readAnswer(resp)
}

// read is send for requests that change nothing, so that their failure leaves
// nothing in doubt: a refresh that failed at discovery has spent no token.
func (c clients) read(req *http.Request) (*answer, error) {
	a, err := send(c.reads, req)
	if err != nil {
		e := asError(err)
		e.Ambiguous = false
		return nil, e
	}
	return a, nil
}

// get reads a resource with an access token, which travels in the header and
// never in the URL. It fails unless the status is 2xx.
func (u *upstream) get(ctx context.Context, endpoint string, access models.Secret, accept string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return nil, protocol("user info endpoint is not a URL")
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Authorization", "Bearer "+access.Reveal())
	a, err := u.read(req)
	if err != nil {
		return nil, err
	}
	if !a.ok() {
		return nil, bearerFailure(a, u.now(), access, u.c.Secret)
	}
	return a, nil
}

// post sends a form with the client's authentication, in one style only: Basic
// with both halves form-encoded first, or parameters (RFC 6749 §2.3.1).
func (u *upstream) post(ctx context.Context, endpoint string, form url.Values) (*answer, error) {
	return u.postBy(ctx, u.calls, endpoint, form)
}

// postBy is post through one of the three clients of transport.go.
func (u *upstream) postBy(ctx context.Context, by *http.Client, endpoint string, form url.Values) (*answer, error) {
	config := u.config("")
	inHeader := config.Endpoint.AuthStyle == oauth2.AuthStyleInHeader
	if !inHeader {
		form.Set("client_id", config.ClientID)
		if config.ClientSecret != "" {
			form.Set("client_secret", config.ClientSecret)
		}
	}
	req, err := formRequest(ctx, endpoint, form)
	if err != nil {
		return nil, err
	}
	if inHeader {
		req.SetBasicAuth(url.QueryEscape(config.ClientID), url.QueryEscape(config.ClientSecret))
	}
	return send(by, req)
}

// formRequest is a form that says nothing of the client.
func formRequest(ctx context.Context, endpoint string, form url.Values) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, protocol("endpoint is not a URL")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	return req, nil
}
