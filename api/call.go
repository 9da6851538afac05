package api

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"net/url"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/traces"
)

// call is what one request carries from the observer to its handler. It is one
// value in the context instead of several, because the token route is hot.
type call struct {
	id     string
	url    *url.URL
	caller models.Caller
	waits  bool // as long as the client likes: how long it took says nothing
	span   *traces.Span
	done   func() // gives the place of a request that is limited back; nil for others
}

type callKey struct{}

func withCall(ctx context.Context, k *call) context.Context {
	return context.WithValue(ctx, callKey{}, k)
}

func callOf(ctx context.Context) *call {
	if k, ok := ctx.Value(callKey{}).(*call); ok {
		return k
	}
	return &call{url: &url.URL{}}
}

const maxRequestID = 128

// requestID takes over the client's id, so that logs on both sides can be
// matched, unless it could harm a log or a header.
func requestID(given string) string {
	if given == "" || len(given) > maxRequestID {
		return newRequestID()
	}
	for i := range len(given) {
		if !safeInRequestID(given[i]) {
			return newRequestID()
		}
	}
	return given
}

func safeInRequestID(b byte) bool {
	switch b {
	case '-', '_', '.', ':', '/', '+', '=', '@', '~':
		return true
	}
	return alphanumeric(b)
}

func alphanumeric(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

// newRequestID need not be secret, only unlikely to repeat.
func newRequestID() string {
	var raw [12]byte
	a, b := rand.Uint64(), rand.Uint32()
	for i := range 8 {
		raw[i] = byte(a >> (8 * i))
	}
	for i := range 4 {
		raw[8+i] = byte(b >> (8 * i))
	}
	return hex.EncodeToString(raw[:])
}
