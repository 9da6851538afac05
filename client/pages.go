package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
)

// page is one answer of a list.
type page[T any] struct {
	Data []T     `json:"data"`
	Next *string `json:"next"`
}

// list goes through all pages of a list, and ends with the first error. Of the
// link to the next page only the query is taken: the link is made for the
// public URL, and the token must go nowhere but to the base URL.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for {
			var p page[T]
			if err := c.call(ctx, http.MethodGet, path, query, nil, &p); err != nil {
				yield(none, err)
				return
			}
			for _, item := range p.Data {
				if !yield(item, nil) {
					return
				}
			}
			if p.Next == nil {
				return
			}
			next, err := url.Parse(*p.Next)
			if err != nil {
				yield(none, err)
				return
			}
			query = next.Query()
		}
	}
}

// set leaves empty values out: grantd takes them for absent anyway.
func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}
