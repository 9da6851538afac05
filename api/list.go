package api

import (
	"context"
	"net/url"
	"strings"

	"github.com/grantd/grantd/broker"
)

// List is a page of things, and the way to the pages beside it.
type List[T any] struct {
	Data     []T     `json:"data"`
	Count    int     `json:"count" doc:"How many things are in this page."`
	Next     *string `json:"next" doc:"The address of the next page; null on the last."`
	Previous *string `json:"previous" doc:"The address of the page before; null on the first."`
}

// Paging are the query parameters of every list, embedded in its input.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" doc:"How many things to answer with, 1 to 1000."`
	Cursor string `query:"cursor" doc:"Where to go on, as given in next and previous."`
}

// list makes the envelope around a page, each thing shaped for sending.
func list[T any](ctx context.Context, s *Server, p broker.Page[T], shape func(T) *T) *answer[List[T]] {
	l := &List[T]{Data: make([]T, len(p.Data)), Count: len(p.Data)}
	for i := range p.Data {
		l.Data[i] = *shape(p.Data[i])
	}
	u := callOf(ctx).url
	l.Next, l.Previous = s.pageURL(u, p.Next), s.pageURL(u, p.Previous)
	return &answer[List[T]]{Body: l}
}

// pageURL is the address that was asked for, at another cursor.
func (s *Server) pageURL(u *url.URL, cursor string) *string {
	if cursor == "" {
		return nil
	}
	query := u.Query()
	query.Set("cursor", cursor)
	address := s.publicURL + u.EscapedPath() + "?" + query.Encode()
	return &address
}

// values are a filter's values, which come repeated (ids=a&ids=b), separated by
// commas (ids=a,b), or both. An empty parameter counts as absent, and absent is
// nil; that is why they are not read by Huma, which stops at an empty first one.
func values(ctx context.Context, name string) []string {
	var all []string
	for _, given := range callOf(ctx).url.Query()[name] {
		if given == "" {
			continue
		}
		for v := range strings.SplitSeq(given, ",") {
			all = append(all, storable(v))
		}
	}
	return all
}
