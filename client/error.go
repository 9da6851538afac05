package client

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// Error is an answer that is not a success.
type Error struct {
	Status     int                 // of HTTP
	Message    string              // a sentence for people, never empty
	Fields     []models.FieldError // which fields are wrong, and what would be right
	Detail     string              // a word for programs, such as an OAuth error code
	RequestID  string              // what to tell the operator of grantd
	RetryAfter time.Duration       // how long to wait before asking again; 0: no advice
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
	}
	if json.Unmarshal(body, &ours) != nil || ours.Message == "" {
		ours.Message = fallback(answer)
	}
	return &Error{
		Status:     answer.StatusCode,
		Message:    ours.Message,
		Fields:     ours.ErrorFields,
		Detail:     ours.Detail,
		RequestID:  answer.Header.Get("X-Request-Id"),
		RetryAfter: retryAfter(answer.Header.Get("Retry-After")),
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
