package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/models"
)

// besides is how many callers fetch tokens while pages are measured.
const besides = 8

// firstPages measures what people see first while others fetch tokens, beside a bare handler that reads one row. All take
// turns on one connection each, under the same load.
func (b *bench) firstPages(ctx context.Context, r *report) error {
	h, err := b.open(ctx, "api")
	if err != nil {
		return err
	}
	defer h.close()
	api := h.running[0]
	few, err := h.store(ctx, api.URL, b.authorizations, madeUp)
	if err != nil {
		return err
	}
	bareBase, _, stop, err := startBare(ctx, h)
	if err != nil {
		return err
	}
	defer stop()
	admin, err := signedIn(ctx, api.URL, h.token.Reveal())
	if err != nil {
		return fmt.Errorf("signing in: %w", err)
	}
	person, err := h.connected(ctx, api.URL)
	if err != nil {
		return fmt.Errorf("connecting a person: %w", err)
	}
	seen := []*view{
		{what: "a handler that reads one row", base: bareBase, request: few.ask(1, "", few.authorization, barePath("/row/"))[0]},
		{what: "/, nobody signed in", base: api.URL, request: pageRequest("/", "")},
		{what: "/, of a person with 3 connections", base: api.URL, request: pageRequest("/", person)},
		{what: fmt.Sprintf("/console/, of %d connections", b.authorizations+3), base: api.URL, request: pageRequest("/console/", admin)},
	}
	load, err := newCallers(ctx, besides, api.URL, few.ask(b.authorizations, h.token.Reveal(), few.authorization, tokenPath))
	if err != nil {
		return err
	}
	defer load.close()
	loading, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := load.load(loading, time.Hour)
		ended <- err
	}()
	err = b.lookAt(ctx, seen)
	end()
	if loadErr := <-ended; err == nil && !errors.Is(loadErr, context.Canceled) {
		err = loadErr
	}
	if err != nil {
		return err
	}
	r.firstPages(seen[0], seen[1:])
	return nil
}

// connected returns the cookie of somebody who is signed in and has connected an account at each of three providers.
func (h *instance) connected(ctx context.Context, base string) (string, error) {
	token, err := h.Token(ctx, "acme", "ada", models.RoleUser)
	if err != nil {
		return "", err
	}
	for range 3 {
		p, err := processes.Provider(ctx, processes.NewClient(base, h.token))
		if err != nil {
			return "", err
		}
		if _, err := processes.Consent(ctx, processes.NewClient(base, token), p.ID, "ada"); err != nil {
			return "", err
		}
	}
	return signedIn(ctx, base, token.Reveal())
}

// view is a page that is looked at again and again.
type view struct {
	what, base string
	request    []byte
	took       []time.Duration
}

func (b *bench) lookAt(ctx context.Context, seen []*view) error {
	var asking []*callers
	for _, v := range seen {
		c, err := newCallers(ctx, 1, v.base, nil)
		if err != nil {
			return err
		}
		defer c.close()
		asking = append(asking, c)
	}
	for range b.views {
		for i, v := range seen {
			begin := time.Now()
			if err := asking[i].conns[0].exchange(v.request); err != nil {
				return fmt.Errorf("%s: %w", v.what, err)
			}
			v.took = append(v.took, time.Since(begin))
		}
	}
	return nil
}

// signedIn signs in to the pages with an API token, and returns the cookie of the session.
func signedIn(ctx context.Context, base, token string) (string, error) {
	form := strings.NewReader(url.Values{"token": {token}}.Encode())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/sign-in", form)
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	res.Body.Close()
	for _, c := range res.Cookies() {
		return c.Name + "=" + c.Value, nil
	}
	return "", fmt.Errorf("no session: %s", res.Status)
}

// pageRequest is what a browser asks for a page with.
func pageRequest(path, cookie string) []byte {
	if cookie != "" {
		cookie = "Cookie: " + cookie + "\r\n"
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: bench\r\nAccept: text/html\r\n%s\r\n", path, cookie)
}

func (r *report) firstPages(bare *view, pages []*view) {
	least := summarize([][]time.Duration{bare.took}, time.Second)
	for _, v := range pages {
		f := summarize([][]time.Duration{v.took}, time.Second)
		r.add(row{what: fmt.Sprintf("GET %s, beside %d callers, p50, against %s", v.what, besides, bare.what), bare: ms(least.p50)}.
			compared(ratio(f.p50, least.p50)).within(f.p50, mostFirstPage),
			row{what: "– p99", ours: ms(f.p99), bare: ms(least.p99)}.compared(ratio(f.p99, least.p99)))
	}
}
