package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
)

// pages compares a list's first page with one far behind it, of the same size. The
// requests for both take turns on one connection.
func (b *bench) pages(ctx context.Context, r *report) error {
	m, err := b.crowded(ctx)
	if err != nil {
		return err
	}
	if err := m.moreProviders(ctx, b.page*b.pageSize); err != nil {
		return err
	}
	for _, list := range []string{"authorizedProviders", "providers"} {
		first, far, err := b.firstAndFar(ctx, m, "/api/v2/externalOAuth/"+list+"/")
		if err != nil {
			return fmt.Errorf("paging through %s: %w", list, err)
		}
		r.pages(list, first, far, b.options)
	}
	return nil
}

// moreProviders copies the one there is.
func (m *million) moreProviders(ctx context.Context, n int) error {
	conn, err := pgx.Connect(ctx, m.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	others := &shelf{provider: m.shelf.provider}
	err = copies(ctx, conn, "providers", "id", m.shelf.provider.ID, n, func(i int, row map[string]any) error {
		row["id"], row["slug"], row["name"] = others.id("provider", i), fmt.Sprint("copy-", i), fmt.Sprint("Copy ", i)
		row["created_at"] = row["created_at"].(time.Time).Add(time.Duration(i) * time.Millisecond)
		return nil
	})
	if err == nil {
		_, err = conn.Exec(ctx, "VACUUM ANALYZE providers")
	}
	return err
}

// firstAndFar measures how long the first page of a list takes, and the one far behind.
func (b *bench) firstAndFar(ctx context.Context, m *million, list string) (first, far time.Duration, err error) {
	token := m.token.Reveal()
	cursor, err := b.walk(ctx, m, list, (b.page-1)*b.pageSize)
	if err != nil {
		return 0, 0, err
	}
	requests := [][]byte{
		request("GET", fmt.Sprintf("%s?limit=%d", list, b.pageSize), token),
		request("GET", fmt.Sprintf("%s?limit=%d&cursor=%s", list, b.pageSize, url.QueryEscape(cursor)), token),
	}
	for _, request := range requests { // both are whole
		if n, _, err := pageOf(ctx, m.api.URL, request); err != nil || n != b.pageSize {
			return 0, 0, fmt.Errorf("a page has %d things, want %d: %w", n, b.pageSize, err)
		}
	}
	asking, err := newCallers(ctx, 1, m.api.URL, requests)
	if err != nil {
		return 0, 0, err
	}
	defer asking.close()
	took := make([][]time.Duration, len(requests))
	for range b.views {
		for i, request := range requests {
			begin := time.Now()
			if err := asking.conns[0].exchange(request); err != nil {
				return 0, 0, err
			}
			took[i] = append(took[i], time.Since(begin))
		}
	}
	return median(took[0]), median(took[1]), nil
}

// walk pages to the n-th thing of a list, and returns the cursor behind it.
func (b *bench) walk(ctx context.Context, m *million, list string, n int) (cursor string, err error) {
	for n > 0 {
		step := min(n, 1000)
		path := fmt.Sprintf("%s?limit=%d&cursor=%s", list, step, url.QueryEscape(cursor))
		if _, cursor, err = pageOf(ctx, m.api.URL, request("GET", path, m.token.Reveal())); err != nil {
			return "", err
		}
		if cursor == "" {
			return "", fmt.Errorf("the list ends early, %d before the page", n)
		}
		n -= step
	}
	return cursor, nil
}

// pageOf returns how many things a page has, and the cursor of the next.
func pageOf(ctx context.Context, base string, request []byte) (int, string, error) {
	body, err := sample(ctx, base, request)
	if err != nil {
		return 0, "", err
	}
	var page struct {
		Count int
		Next  string
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		return 0, "", err
	}
	next, err := url.Parse(page.Next)
	if err != nil {
		return 0, "", err
	}
	return page.Count, next.Query().Get("cursor"), nil
}

func (r *report) pages(list string, first, far time.Duration, o options) {
	r.add(row{what: fmt.Sprintf("GET %s/, page %d of %d things, against page 1", list, o.page, o.pageSize), ours: ms(far), bare: ms(first)}.
		atMost(ratio(far, first), mostFarPage))
}
