package providers

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Receivers are the addresses that webhooks are sent to. Who may be dialled is judged as for upstreams (S1), by a list of its
// own: what may be asked for tokens need not be told events.
type Receivers struct {
	allow  allowlist
	client *http.Client
}

// maxReceipt is how much of a receiver's answer is read.
const maxReceipt = 4 << 10

// NewReceivers returns the receivers that may be reached. allow lists hosts, host:port pairs and CIDRs that may be dialled
// although they are private or loopback; only to a listed host:port is plain http spoken, and only to a listed host another port
// than 443. config is nil for Go's defaults. An error names the entry that cannot be understood.
func NewReceivers(allow []string, config *tls.Config) (*Receivers, error) {
	list, err := parseAllow(allow)
	if err != nil {
		return nil, err
	}
	fresh, _ := transports(newDialer(list), config, nil) // a connection for each attempt: the address is judged each time
	return &Receivers{allow: list, client: &http.Client{Transport: fresh, CheckRedirect: noRedirect}}, nil
}

var errWebhookPort = errors.New("must have no port, which means 443, unless the operator allows this host")

// Check judges the address of a webhook, in form and in whom it leads to, as far as that can be told without resolving it.
func (r *Receivers) Check(raw string) error {
	if err := r.allow.checkURL(raw, true); err != nil {
		return err
	}
	if strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' }) {
		return errURL
	}
	u, err := url.Parse(raw)
	if err != nil {
		return errURL
	}
	host, port, err := splitHost(strings.ToLower(u.Host))
	if err != nil {
		return err
	}
	if port = portOf(u.Scheme, port); port != "443" && !r.allow.dials(host, port) {
		return errWebhookPort
	}
	return nil
}

// Post sends a body of JSON and returns the status of the answer. Of the answer nothing else is kept, and no redirect is
// followed. Without an answer the status is 0: why is for nobody to know who chose the address.
func (r *Receivers) Post(ctx context.Context, address string, header http.Header, body []byte) int {
	if r.Check(address) != nil { // the list may have changed
		return 0
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "grantd")
	resp, err := r.client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, maxReceipt); err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	return resp.StatusCode
}
