package providers

import "math"

// Budget is how much an upstream takes in an hour on behalf of one OAuth client; 0 =
// not known. What goes beyond is answered with a rate limit, under which people
// whose tokens are due suffer too.
type Budget struct {
	Revocations int // as many as the calls allow that are made with the client's credentials
	TokenCalls  int // to the token endpoint
}

// The keys of config by which an admin says what the upstream has agreed to, or
// what a self-managed one can bear.
const (
	callsPerHour      = "callsPerHour"
	tokenCallsPerHour = "tokenCallsPerHour"
)

// Budget returns what the client's config says, else what is known about its type at its
// host.
// It is shared by all that use the same client at the same host.
func (at Upstream) Budget() Budget {
	t, ok := at.registry.types[at.client.Type]
	if !ok {
		return Budget{}
	}
	var calls, tokens int
	if at.client.Host == "" || t.metered != nil && t.metered(at.client.Host) {
		calls, tokens = t.CallsPerHour, t.TokenCallsPerHour
	}
	if n, ok := perHour(at.client.Config[callsPerHour]); ok {
		calls = n
	}
	if n, ok := perHour(at.client.Config[tokenCallsPerHour]); ok {
		tokens = n
	}
	if t.revoke == nil && calls > 0 { // RFC 7009 takes one token at a time: two calls
		calls = max(1, calls/2)
	}
	return Budget{Revocations: calls, TokenCalls: tokens}
}

const maxPerHour = 10_000_000

// perHour reads a positive whole number, as Go or JSON has it.
func perHour(v any) (int, bool) {
	n, ok := v.(float64)
	if i, whole := v.(int); whole {
		n, ok = float64(i), true
	}
	if !ok || n != math.Trunc(n) || n < 1 || n > maxPerHour {
		return 0, false
	}
	return int(n), true
}

func isPerHour(_ allowlist, v any) string {
	if _, ok := perHour(v); !ok {
		return "must be a whole number of calls per hour, 1 to 10000000"
	}
	return ""
}
