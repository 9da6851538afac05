package console

import (
	"encoding/json"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// functions are what the templates may call, beside those of the pages. script is the address of the pages' module.
func functions(script string) template.FuncMap {
	return template.FuncMap{
		"script":           func() string { return script },
		"again":            again,
		"day":              func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
		"tokenRole":        func(r models.Role) string { return word(tokenRoles, r) },
		"connectionStatus": func(s models.AuthorizationStatus) string { return word(connectionStatuses, s) },
		"providerStatus":   func(p models.Provider) string { return providerStatus(p) },
		"linkStatus":       linkStatus,
		"host":             hostOf,
		"jobType":          func(t models.JobType) string { return word(jobTypes, t) },
		"jobStatus":        func(s models.JobStatus) string { return word(jobStatuses, s) },
		"webhookOff":       func(reason string) string { return word(webhookReasons, reason) },
		"deliveryStatus":   func(s models.DeliveryStatus) string { return word(deliveryStatuses, s) },
		"attemptResult":    func(result string) string { return word(attemptResults, result) },
		"cause":            broker.Cause,
		"pauseOf":          func(class string) string { return word(pauses, class) },
		"detail":           detail,
		"pager":            pager,
		"connectionBar":    connectionBar,
		"notWorking":       notWorking,
		"setting":          setting,
		"clock":            func(t time.Time) string { return t.UTC().Format("15:04:05 UTC") },
	}
}

// again is the address at which a page loads itself again without scripts, "" for one that does not.
func again(of any) string {
	if s, ok := of.(screen); ok {
		if j, ok := s.Of.(job); ok {
			return j.Again
		}
	}
	return ""
}

// pages are the ways from one page of a list to those beside it, "" for none.
type pages struct{ Next, Previous string }

// pager is told the cursors, and what the list is filtered by as the names and values of parameters.
func pager(next, previous string, filters ...string) pages {
	to := func(cursor string) string {
		if cursor == "" {
			return ""
		}
		q := url.Values{"cursor": {cursor}}
		for i := 0; i+1 < len(filters); i += 2 {
			if filters[i+1] != "" {
				q.Set(filters[i], filters[i+1])
			}
		}
		return "?" + q.Encode()
	}
	return pages{to(next), to(previous)}
}

// linkStatus tells how far a connect link has come, and why it failed.
func linkStatus(l models.ConnectLink) string {
	if l.Status == models.LinkFailed {
		return "Not connected: " + word(linkFailures, l.Error)
	}
	return word(linkStatuses, l.Status)
}

// hostOf is the host of an address, "" where it has none.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

func word[T ~string](words map[T]string, key T) string {
	if w := words[key]; w != "" {
		return w
	}
	return string(key)
}

// The words that people read for what the API says in codes.
var (
	connectionStatuses = map[models.AuthorizationStatus]string{
		models.AuthorizationActive:               "Working",
		models.AuthorizationExpired:              "Expired: the person has to connect again",
		models.AuthorizationInvalidOAuthClient:   "Waiting: the provider refuses the client",
		models.AuthorizationInvalidProviderState: "Not usable: the provider is switched off, being deleted, or another client now",
	}
	tokenRoles = map[models.Role]string{
		models.RoleUser: "User: connects accounts and uses its own", models.RoleService: "Service: acts for the users that its requests name",
		models.RoleAdmin: "Admin: manages the organisation's providers",
	}
	linkStatuses = map[models.LinkStatus]string{
		models.LinkOpen: "Nobody has opened it", models.LinkBegun: "The person is at the provider", models.LinkReturned: "Waits for the app to confirm", models.LinkConnected: "Connected",
	}
	linkFailures = map[models.LinkEnd]string{
		models.LinkDenied: "the person declined", models.LinkExpired: "its time was over", models.LinkWithdrawn: "it was taken back",
		models.LinkAnotherUser: "somebody else than its user opened it", models.LinkUserRevoked: "everything of the user was revoked",
	}
	jobTypes = map[models.JobType]string{
		models.JobDeleteProvider: "Deletion of a provider", models.JobResetProvider: "Reset of a provider's tokens",
		models.JobRevokeUser: "Revocation of everything that a user connected", models.JobStats: "Statistics",
	}
	jobStatuses = map[models.JobStatus]string{
		models.JobPending: "Waiting", models.JobRunning: "Running", models.JobCompleted: "Completed", models.JobError: "Ended with an error",
	}
	webhookReasons = map[string]string{
		models.OffByAdmin: "Off: an admin switched it off", models.OffGone: "Off: the address answered that it is gone (410)",
		models.OffFailing: "Off: the address accepted nothing for three days",
	}
	deliveryStatuses = map[models.DeliveryStatus]string{
		models.DeliveryPending: "Waiting, or tried again", models.DeliveryDelivered: "Delivered", models.DeliveryFailed: "Given up after three days",
	}
	attemptResults = map[string]string{models.NotDelivered: "not delivered"}
	pauses         = map[string]string{
		"token":       "Exchanges and refreshes wait, because the provider asked for it or does not answer",
		"revoke":      "Revocations wait, because the provider asked for it or does not answer",
		"api":         "Checks and user info wait, because the provider asked for it or does not answer",
		"token_pace":  "Refreshes in the background wait: their share of the provider's limit is used up",
		"revoke_pace": "Revocations in the background wait: their share of the provider's limit is used up",
	}
	outcomes = map[models.Outcome]string{
		models.OutcomeRevoked:        "Revoked at the provider",
		models.OutcomeAlreadyRevoked: "Was already revoked there",
		models.OutcomeSuperseded:     "Kept: a newer consent uses the same grant",
		models.OutcomeNoLiveToken:    "No token left to revoke with",
		models.OutcomeUnsupported:    "The provider does not support revocation",
		models.OutcomeFailed:         "Failed",
		models.OutcomeAbandoned:      "Abandoned",
		models.OutcomeReset:          "Replaced in place",
		models.OutcomeRefreshed:      "Refreshed",
		models.OutcomeExpired:        "Expired: the person has to connect again",
		models.OutcomeImpossible:     "Cannot be replaced",
		models.OutcomeGone:           "Was disconnected meanwhile",
	}
	outcomeClasses = map[models.Outcome]string{
		models.OutcomeRevoked: "good", models.OutcomeReset: "good", models.OutcomeRefreshed: "good",
		models.OutcomeAlreadyRevoked: "fair", models.OutcomeGone: "fair",
		models.OutcomeSuperseded: "other", models.OutcomeNoLiveToken: "other",
		models.OutcomeUnsupported: "warn", models.OutcomeAbandoned: "warn", models.OutcomeExpired: "warn", models.OutcomeImpossible: "warn",
		models.OutcomeFailed: "bad",
	}
)

var connectionClasses = map[models.AuthorizationStatus]string{
	models.AuthorizationActive: "good", models.AuthorizationExpired: "bad", models.AuthorizationInvalidOAuthClient: "warn", models.AuthorizationInvalidProviderState: "other",
}

func connectionBar(counts []broker.StatusCount) []part {
	var all []part
	for _, c := range counts {
		all = append(all, part{Label: connectionStatuses[c.Status], Class: connectionClasses[c.Status], N: c.N})
	}
	return bar(all)
}

func notWorking(counts []broker.StatusCount) int64 {
	var n int64
	for _, c := range counts {
		if c.Status != models.AuthorizationActive {
			n += c.N
		}
	}
	return n
}

// setting is a value of config as it is written in JSON.
func setting(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

func providerStatus(p models.Provider) string {
	switch {
	case p.Status == models.ProviderDeleted:
		return "Being deleted"
	case p.DeletionAsked():
		return "Off: its deletion ended with an error"
	case p.Usable():
		return "On"
	}
	return "Off"
}

// told are the details of a job that its page shows as they are: the others it counts or lists in words.
var told = map[string]string{
	"per_second": "Items a second", "estimated_end": "Ends at about", "paused_until": "Waits until", "kept": "Tokens kept until the grant's last authorization ends",
	"spared_for_other_organisations": "Grants kept, because another organisation uses them", "error": "Why it ended",
}

// detail is what a detail of a job is called, "" where the page shows it otherwise or not at all. Statistics are shown as they are.
func detail(j models.Job, d models.Detail) string {
	if j.Type == models.JobStats && d.Name != "error" {
		return strings.ReplaceAll(d.Name, "_", " ")
	}
	return told[d.Name]
}

// part is one part of a stacked bar, and one row of the table beside it.
type part struct {
	Label, Class string
	N            int64
	From, Width  float64 // in percent of the whole
}

// bar lays the parts out one after the other. One that there is hardly anything of can still be seen.
func bar(parts []part) []part {
	const least = 0.5
	parts = slices.Clone(parts)
	whole := 0.0
	for i := range parts {
		whole += float64(parts[i].N)
	}
	if whole == 0 {
		return parts
	}
	sum := 0.0
	for i := range parts {
		if parts[i].N > 0 {
			parts[i].Width = max(100*float64(parts[i].N)/whole, least)
		}
		sum += parts[i].Width
	}
	from := 0.0
	for i := range parts {
		parts[i].Width *= 100 / sum
		parts[i].From, from = from, from+parts[i].Width
	}
	return parts
}
