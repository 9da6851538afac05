package client

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// What an error is about, for [errors.Is].
var (
	ErrUnauthenticated = errors.New("grantd does not accept the credentials")                 // 401
	ErrForbidden       = errors.New("not for this role, this user, or not now")               // 403
	ErrNotFound        = errors.New("it does not exist, or not for this caller")              // 404
	ErrConflict        = errors.New("the state of the thing does not allow it")               // 409
	ErrConsentNeeded   = errors.New("the person has to connect an account, or renew it")      // 410, interaction_required; see Error.ConnectURL
	ErrInvalid         = errors.New("a field or parameter is wrong")                          // 422; see Error.Fields
	ErrRateLimited     = errors.New("too many requests")                                      // 429
	ErrUpstreamDown    = errors.New("the provider does not answer, or refuses the client")    // 502 of grantd's
	ErrUnavailable     = errors.New("grantd cannot be reached, or cannot reach its database") // no answer, 503, and 502 and 504 of a proxy
)

// sentinels are what an answer of grantd's is about, by its status.
var sentinels = map[int]error{
	http.StatusUnauthorized: ErrUnauthenticated, http.StatusForbidden: ErrForbidden, http.StatusNotFound: ErrNotFound,
	http.StatusConflict: ErrConflict, http.StatusGone: ErrConsentNeeded, http.StatusUnprocessableEntity: ErrInvalid,
	http.StatusTooManyRequests: ErrRateLimited, http.StatusBadGateway: ErrUpstreamDown, http.StatusServiceUnavailable: ErrUnavailable,
}

// inOAuth are what an error of the standard exchange is about, by its code.
var inOAuth = map[string]error{
	"interaction_required": ErrConsentNeeded, "invalid_target": ErrNotFound, "invalid_client": ErrUnauthenticated,
	"unauthorized_client": ErrForbidden, "invalid_request": ErrInvalid,
}

// Error is an answer that is not a success.
type Error struct {
	Status     int                 // of HTTP
	Message    string              // a sentence for people, never empty
	Fields     []models.FieldError // which fields are wrong, and what would be right
	Detail     string              // a word for programs, such as an OAuth error code
	RequestID  string              // what to tell the operator of grantd
	RetryAfter time.Duration       // how long to wait before asking again; 0: no advice
	ConnectURL string              // where the person connects an account, or renews it; "" for nowhere
	Foreign    bool                // the body is not grantd's: something in between answered
}

// Is reports whether the answer is about one of the errors of this package.
func (e *Error) Is(target error) bool {
	if e.Foreign && e.Status >= http.StatusInternalServerError {
		return target == ErrUnavailable && (e.Status == http.StatusBadGateway || e.Status == http.StatusServiceUnavailable || e.Status == http.StatusGatewayTimeout)
	}
	if about := inOAuth[e.Detail]; about != nil && e.Status < http.StatusUnauthorized {
		return target == about
	}
	if e.ConnectURL != "" { // a scope that was not granted
		return target == ErrConsentNeeded
	}
	return target != nil && sentinels[e.Status] == target
}

// Error returns the sentence, and the request's id to look it up by.
func (e *Error) Error() string {
	text := "grantd answered " + strconv.Itoa(e.Status) + ": " + e.Message
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// refused reads an error from an answer. What came from a proxy in between is
// no JSON of ours: then the status has to do.
func refused(answer *http.Response, body []byte) *Error {
	var ours struct {
		Message     string              `json:"message"`
		ErrorFields []models.FieldError `json:"errorFields"`
		Detail      string              `json:"detail"`

		// Of the standard exchange.
		Code        string `json:"error"`
		Description string `json:"error_description"`
		ConnectURL  string `json:"connect_url"`
	}
	wrong := json.Unmarshal(body, &ours)
	if ours.Code != "" {
		ours.Message, ours.Detail = cmp.Or(ours.Description, ours.Code), ours.Code
	}
	foreign := wrong != nil || ours.Message == ""
	if foreign {
		ours.Message = fallback(answer)
	}
	return &Error{
		Status:     answer.StatusCode,
		Message:    ours.Message,
		Fields:     ours.ErrorFields,
		Detail:     ours.Detail,
		RequestID:  answer.Header.Get("X-Request-Id"),
		RetryAfter: retryAfter(answer.Header.Get("Retry-After")),
		ConnectURL: ours.ConnectURL,
		Foreign:    foreign,
	}
}

func fallback(answer *http.Response) string {
	if answer.StatusCode/100 == 3 {
		return "a redirect, which grantd never sends; is the base URL right?"
	}
	return strings.ToLower(http.StatusText(answer.StatusCode)) + ", without saying why"
}

// retryAfter reads seconds or an HTTP date.
func retryAfter(value string) time.Duration {
	if n, err := strconv.Atoi(value); err == nil {
		return max(0, time.Duration(n)*time.Second)
	}
	if t, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}
