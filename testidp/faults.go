package testidp

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Endpoint names what is counted and where faults strike.
type Endpoint string

const (
	Authorize   Endpoint = "authorize"
	Exchange    Endpoint = "exchange"    // the token endpoint, called with a code
	Refresh     Endpoint = "refresh"     // the token endpoint, called with a refresh token
	DevicePoll  Endpoint = "device_poll" // the token endpoint, called with a device code
	Token       Endpoint = "token"       // in a fault: all three; as a count: other grant types
	Device      Endpoint = "device"      // the device authorization endpoint
	Revoke      Endpoint = "revoke"      // in a fault: GrantDelete and TokenDelete as well
	Introspect  Endpoint = "introspect"
	UserInfo    Endpoint = "userinfo"     // /userinfo, and GitHub's /user and /user/emails
	GrantDelete Endpoint = "grant_delete" // GitHub's DELETE …/grant
	TokenDelete Endpoint = "token_delete" // GitHub's DELETE …/token
	TokenCheck  Endpoint = "token_check"  // GitHub's POST …/token
	TokenReset  Endpoint = "token_reset"  // GitHub's PATCH …/token
	Metadata    Endpoint = "metadata"

	Installations Endpoint = "installations" // GitHub's /user/installations

	API Endpoint = "api" // in a fault: everything below /api/v3
	Any Endpoint = "*"   // in a fault: everything but the control API
)

var (
	counted = []Endpoint{
		Authorize, Exchange, Refresh, DevicePoll, Token, Device, Revoke, Introspect, UserInfo,
		GrantDelete, TokenDelete, TokenCheck, TokenReset, Metadata, Installations,
	}
	faultable = append([]Endpoint{API, Any}, counted...)
)

// Fault is one way to misbehave. Every fault that matches a call sees it and
// counts it against Skip and Times; where several strike at once they combine,
// and the one added first wins a field both set.
//
// A fault with Hang, Status, Location, Body or Error answers instead of the
// endpoint, which then does not do its work; with ResetAfter the work is done
// in any case.
type Fault struct {
	Endpoint Endpoint `json:"endpoint"`
	Skip     int      `json:"skip,omitempty"`  // calls to let pass first
	Times    int      `json:"times,omitempty"` // calls to strike, 0: until removed

	Account string `json:"account,omitempty"` // only calls that carry a token of this account

	Until           <-chan struct{} `json:"-"`                           // before the work, wait until it is closed
	LatencyMS       int             `json:"latency_ms,omitempty"`        // before the work; a client that leaves meanwhile has done nothing
	AnswerLatencyMS int             `json:"answer_latency_ms,omitempty"` // after the work, which is done even if the client leaves
	Hang            bool            `json:"hang,omitempty"`              // until the client goes or the server closes
	ResetAfter      bool            `json:"reset_after,omitempty"`       // do the work, then reset the connection

	Status      int               `json:"status,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	RetryAfter  string            `json:"retry_after,omitempty"` // verbatim: seconds or an HTTP date
	RetryIn     int               `json:"retry_in,omitempty"`    // seconds from the answer, sent as the HTTP date of Retry-After
	Location    string            `json:"location,omitempty"`    // with status 302 unless Status says otherwise
	Body        string            `json:"body,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	HugeBody    int               `json:"huge_body,omitempty"` // bytes of white space before the answer

	// Error is an OAuth error code, answered in the endpoint's own dialect:
	// invalid_grant becomes GitHub's bad_refresh_token, and so on.
	Error       string          `json:"error,omitempty"`
	WrongSecret bool            `json:"wrong_secret,omitempty"` // client authentication fails
	ExpiresIn   json.RawMessage `json:"expires_in,omitempty"`   // replaces expires_in in token answers, null: absent
	OmitRefresh bool            `json:"omit_refresh,omitempty"` // issue no refresh token; on refresh, the old one stays good
	Iss         *string         `json:"iss,omitempty"`          // replaces iss in authorization responses, "": absent
}

// Inject adds faults. It panics when one cannot be meant.
func (s *Server) Inject(faults ...Fault) { must(s.inject(faults)) }

// Faults lists those that may still strike.
func (s *Server) Faults() []Fault { return s.faults.list() }

// ClearFaults removes all.
func (s *Server) ClearFaults() { s.faults.clear() }

func (s *Server) inject(faults []Fault) error {
	for _, f := range faults {
		if err := f.validate(); err != nil {
			return err
		}
	}
	s.faults.add(faults)
	return nil
}

func (f Fault) validate() error {
	switch {
	case !slices.Contains(faultable, f.Endpoint):
		return fmt.Errorf("fault: no endpoint %q", f.Endpoint)
	case f.Skip < 0 || f.Times < 0 || f.LatencyMS < 0 || f.AnswerLatencyMS < 0 || f.HugeBody < 0 || f.RetryIn < 0:
		return fmt.Errorf("fault at %s: a number is negative", f.Endpoint)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("fault at %s: no status %d", f.Endpoint, f.Status)
	case len(f.ExpiresIn) > 0 && !json.Valid(f.ExpiresIn):
		return fmt.Errorf("fault at %s: expires_in is not JSON", f.Endpoint)
	}
	return nil
}

func (f Fault) matches(name Endpoint, path, account string) bool {
	if f.Account != "" && f.Account != account {
		return false
	}
	switch f.Endpoint {
	case Any, name:
		return true
	case Token:
		return name == Exchange || name == Refresh || name == DevicePoll
	case Revoke:
		return name == GrantDelete || name == TokenDelete
	case API:
		return strings.HasPrefix(path, "/api/v3/")
	default:
		return false
	}
}

// failure is the error this fault asks for, in the words of both dialects.
func (f Fault) failure(name Endpoint) *failure {
	switch {
	case f.Error == errClient.code:
		return errClient
	case f.Error == errCode.code && name == Exchange:
		return errCode
	case f.Error == errRefresh.code:
		return errRefresh
	}
	return &failure{f.Error, f.Error, "Injected fault."}
}

// and combines two faults; what f sets stays.
func (f Fault) and(g Fault) Fault {
	f.Endpoint = cmp.Or(f.Endpoint, g.Endpoint)
	f.Until = cmp.Or(f.Until, g.Until)
	f.LatencyMS = cmp.Or(f.LatencyMS, g.LatencyMS)
	f.AnswerLatencyMS = cmp.Or(f.AnswerLatencyMS, g.AnswerLatencyMS)
	f.Hang = f.Hang || g.Hang
	f.ResetAfter = f.ResetAfter || g.ResetAfter
	f.Status = cmp.Or(f.Status, g.Status)
	f.Headers = union(f.Headers, g.Headers)
	f.RetryAfter = cmp.Or(f.RetryAfter, g.RetryAfter)
	f.RetryIn = cmp.Or(f.RetryIn, g.RetryIn)
	f.Location = cmp.Or(f.Location, g.Location)
	f.Body = cmp.Or(f.Body, g.Body)
	f.ContentType = cmp.Or(f.ContentType, g.ContentType)
	f.HugeBody = cmp.Or(f.HugeBody, g.HugeBody)
	f.Error = cmp.Or(f.Error, g.Error)
	f.WrongSecret = f.WrongSecret || g.WrongSecret
	f.OmitRefresh = f.OmitRefresh || g.OmitRefresh
	f.Iss = cmp.Or(f.Iss, g.Iss)
	if f.ExpiresIn == nil {
		f.ExpiresIn = g.ExpiresIn
	}
	return f
}

func union(first, second map[string]string) map[string]string {
	all := make(map[string]string, len(first)+len(second))
	maps.Copy(all, second)
	maps.Copy(all, first)
	return all
}

// faultBox holds what is still to strike.
type faultBox struct {
	mu     sync.Mutex
	faults []Fault
}

func (b *faultBox) add(faults []Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, faults...)
}

func (b *faultBox) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
}

func (b *faultBox) list() []Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.faults)
}

// take is asked once per call and says what strikes it, the zero Fault if
// nothing does.
func (b *faultBox) take(name Endpoint, path, account string) (struck Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.faults[:0]
	for _, f := range b.faults {
		switch {
		case !f.matches(name, path, account):
			kept = append(kept, f)
		case f.Skip > 0:
			f.Skip--
			kept = append(kept, f)
		default:
			struck = struck.and(f)
			if f.Times != 1 {
				f.Times = max(0, f.Times-1)
				kept = append(kept, f)
			}
		}
	}
	b.faults = kept
	return struck
}
