package metrics

import (
	"slices"

	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// kind is a type of metric.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// other is what a value counts as that is in no list, such as a provider type of a newer
// release.
const other = "other"

// label has a closed list of values, or says of what it is a pattern.
type label struct {
	name   string
	values []string
	open   string // for the document, where the values are no list of ours
}

// definition is one metric.
type definition struct {
	name    string
	kind    kind
	help    string
	labels  []label
	buckets []float64
	// told says which processes have the metric: "all", "api" or "worker".
	told string
	// snapshot says that the value comes from the database or Redis, and is the same in
	// each process that tells it.
	snapshot bool
	// asked says that the value is that of the moment of the scrape.
	asked bool
}

// list makes the label values of the constants of a type.
func list[T ~string](values ...T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// Freshness is how an access token was when it was handed out.
type Freshness string

// The kinds of freshness.
const (
	Fresh     Freshness = "fresh" // no refresh is due
	RefreshIn Freshness = "due"   // a refresh is due; the token still lives and is served meanwhile
	NoToken   Freshness = "none"  // there was no token to serve
)

// served is the result of a fetch that had a token. The others are the codes of errors.
const served = "served"

// RefreshOutcome is how the upstream answered a refresh.
type RefreshOutcome string

// The outcomes.
const (
	RefreshTokens      RefreshOutcome = "tokens"      // new tokens
	RefreshEnded       RefreshOutcome = "ended"       // the grant or the token is over
	RefreshClient      RefreshOutcome = "client"      // the client is not accepted for this token
	RefreshRefused     RefreshOutcome = "refused"     // another refusal
	RefreshUnreadable  RefreshOutcome = "unreadable"  // a success without readable tokens
	RefreshLost        RefreshOutcome = "lost"        // no whole answer came back
	RefreshUnavailable RefreshOutcome = "unavailable" // down, throttling or not reachable
)

// ConsentOutcome is how a consent ended.
type ConsentOutcome string

// The outcomes.
const (
	ConsentDone     ConsentOutcome = "done"     // there is an authorization
	ConsentDeclined ConsentOutcome = "declined" // the person said no
	ConsentExpired  ConsentOutcome = "expired"  // nobody came back in time
	ConsentLost     ConsentOutcome = "lost"     // the answer with the tokens never came
	ConsentFailed   ConsentOutcome = "failed"   // anything else
)

// DeliveryResult is what came of an attempt to deliver an event to a webhook.
type DeliveryResult string

// The results of attempts to deliver.
const (
	DeliveryAccepted   DeliveryResult = "accepted"   // with a status of 2xx
	DeliveryRefused    DeliveryResult = "refused"    // with another status
	DeliveryUnanswered DeliveryResult = "unanswered" // no whole answer came
)

// Result is how something went that either works or fails.
type Result string

// The results.
const (
	Done   Result = "done"
	Failed Result = "failed"
)

// Dependency is what a process stands on.
type Dependency string

// The dependencies.
const (
	Redis Dependency = "redis"
	SQL   Dependency = "sql"
)

// Connection is what a connection to the database does.
type Connection string

// What it does.
const (
	ConnectionUsed Connection = "used"
	ConnectionIdle Connection = "idle"
)

// sweepParts are the parts of a sweep, in the order in which they are done.
var sweepParts = []string{"upgrade", "jobs", "revocations", "refreshes", "flows", "former secrets", "events", "statistics", "retention"}

// TaskState is where a task is in Redis.
type TaskState string

// The states.
const (
	TaskPending TaskState = "pending"
	TaskActive  TaskState = "active"
)

var (
	byType      = label{name: "type", values: append(providers.TypeNames(), other)}
	byClass     = label{name: "class", values: list(providers.CallToken, providers.CallRevoke, providers.CallAPI, providers.CallMetadata)}
	byStatus    = label{name: "status", values: []string{"1xx", "2xx", "3xx", "4xx", "5xx", "none"}}
	byPause     = label{name: "class", values: list(store.Classes...)}
	byBudget    = label{name: "class", values: list(store.ClassToken, store.ClassRevoke)}
	byJob       = label{name: "type", values: append(list(models.JobTypes...), other)}
	byKind      = label{name: "kind", values: append(list(jobs.KindNames()...), other)}
	byWait      = label{name: "wait", values: list(store.DeliveryWaits...)}
	byResult    = label{name: "outcome", values: list(Done, Failed)}
	callSeconds = []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

// codes are those that a fetch can fail with.
var codes = list(models.CodeBadRequest, models.CodeUnauthenticated, models.CodeForbidden, models.CodeNotFound, models.CodeConflict, models.CodeGone,
	models.CodeInvalid, models.CodeRateLimited, models.CodeCancelled, models.CodeInternal, models.CodeUpstream, models.CodeUnavailable)

// The names of the metrics.
const (
	httpRequests      = "grantd_http_requests_total"
	httpSeconds       = "grantd_http_request_duration_seconds"
	tokenFetches      = "grantd_token_fetches_total"
	refreshes         = "grantd_refreshes_total"
	refreshSeconds    = "grantd_refresh_duration_seconds"
	leaseWaits        = "grantd_refresh_lease_wait_seconds"
	savesWaiting      = "grantd_token_saves_waiting"
	expirations       = "grantd_authorizations_expired_total"
	undecryptable     = "grantd_undecryptable_secrets_total"
	upstreamCalls     = "grantd_upstream_calls_total"
	upstreamSeconds   = "grantd_upstream_call_duration_seconds"
	pausesBegun       = "grantd_pauses_begun_total"
	budgetLeft        = "grantd_budget_left_ratio"
	consentsBegun     = "grantd_consents_begun_total"
	consentsEnded     = "grantd_consents_ended_total"
	revocations       = "grantd_revocations_total"
	jobsEnded         = "grantd_jobs_ended_total"
	deliveries        = "grantd_webhook_deliveries_total"
	deliveriesWaiting = "grantd_webhook_deliveries_waiting"
	deliveriesOldest  = "grantd_webhook_deliveries_oldest_age_seconds"
	webhooksOff       = "grantd_webhooks_switched_off_total"
	tasks             = "grantd_tasks_total"
	taskSeconds       = "grantd_task_duration_seconds"
	sweeps            = "grantd_sweeps_total"
	sweepSeconds      = "grantd_sweep_duration_seconds"
	sweepLag          = "grantd_sweep_lag_seconds"
	dependencyUp      = "grantd_dependency_up"
	buildInfo         = "grantd_build_info"
	jobsNow           = "grantd_jobs"
	jobsOldest        = "grantd_jobs_oldest_age_seconds"
	pausesNow         = "grantd_pauses"
	troubledProviders = "grantd_troubled_providers"
	connections       = "grantd_connections"
	connectionsAge    = "grantd_connections_age_seconds"
	queueTasks        = "grantd_queue_tasks"
	queueOldest       = "grantd_queue_oldest_age_seconds"
	poolConnections   = "grantd_database_connections"
	poolMax           = "grantd_database_connections_max"
	poolWaits         = "grantd_database_connection_waits_total"
	poolWaited        = "grantd_database_connection_wait_seconds_total"
	snapshotErrors    = "grantd_snapshot_errors_total"
)

// definitions is every metric of ours.
var definitions = []definition{
	{name: httpRequests, kind: counter, told: "all", help: "Requests answered.",
		labels: []label{{name: "route", open: "the pattern of the route, never an id; `unmatched` for others"},
			{name: "method", open: "GET, POST, PATCH, DELETE, PUT, HEAD, OPTIONS or other"}, {name: "status", open: "the HTTP status"}}},
	{name: httpSeconds, kind: histogram, told: "all", help: "How long requests took, other than those that wait for a job, follow it or listen for a link.",
		labels:  []label{{name: "route", open: "as above"}, {name: "method", open: "as above"}},
		buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}},

	{name: tokenFetches, kind: counter, told: "all", help: "Access tokens asked for, by the result and by how fresh the token was.",
		labels: []label{{name: "result", values: append([]string{served}, codes...)}, {name: "freshness", values: list(Fresh, RefreshIn, NoToken)}}},
	{name: refreshes, kind: counter, told: "all", help: "Refreshes and resets of tokens, by what the upstream answered.",
		labels: []label{byType, {name: "outcome", values: list(RefreshTokens, RefreshEnded, RefreshClient, RefreshRefused, RefreshUnreadable, RefreshLost, RefreshUnavailable)}}},
	{name: refreshSeconds, kind: histogram, told: "all", help: "How long the upstream took to answer a refresh.", labels: []label{byType}, buckets: callSeconds},
	{name: leaseWaits, kind: histogram, told: "all", help: "How long a refresh waited for another process that refreshes the same tokens.", buckets: callSeconds},
	{name: savesWaiting, kind: gauge, told: "all", help: "New tokens that could not be saved yet, and exist in the memory of this process only."},
	{name: expirations, kind: counter, told: "all", help: "Authorizations that have expired, so that their person must consent again.",
		labels: []label{{name: "reason", values: append(slices.Sorted(reasons), "upstream")}}},
	{name: undecryptable, kind: counter, told: "all", help: "Stored secrets that did not open with this keyset."},

	{name: upstreamCalls, kind: counter, told: "all", help: "Calls to upstreams, by kind of endpoint and class of HTTP status; none means that no answer came. Calls for metadata and key sets have the type other.",
		labels: []label{byType, byClass, byStatus}},
	{name: upstreamSeconds, kind: histogram, told: "all", help: "How long upstreams took until their answers began.", labels: []label{byType, byClass}, buckets: callSeconds},
	{name: pausesBegun, kind: counter, told: "all", help: "Times that calls to an upstream were put off: because it asked for that, because it refuses the client, or because the share of background work is used up.",
		labels: []label{byType, byPause}},
	{name: budgetLeft, kind: histogram, told: "all", help: "Which part of an upstream's budget was left when work in the background asked for some of it; 0 is none, 1 is all that may be used at once.",
		labels: []label{byType, byBudget}, buckets: []float64{0, .1, .25, .5, .75, .9}},

	{name: consentsBegun, kind: counter, told: "all", help: "Consents begun, by where.",
		labels: []label{{name: "channel", values: list(models.ChannelAPI, models.ChannelBrowser, models.ChannelDevice, models.ChannelLink, models.ChannelImport)}}},
	{name: consentsEnded, kind: counter, told: "all", help: "Consents ended, by the step that they had reached and the outcome.",
		labels: []label{{name: "step", values: append(list(models.FlowOpen, models.FlowClaimed, models.FlowExchanged), other)},
			{name: "outcome", values: list(ConsentDone, ConsentDeclined, ConsentExpired, ConsentLost, ConsentFailed)}}},
	{name: revocations, kind: counter, told: "all", help: "Authorizations whose revocation ended, by the outcome.",
		labels: []label{{name: "outcome", values: append(list(models.Outcomes...), other)}}},
	{name: jobsEnded, kind: counter, told: "all", help: "Jobs that ended.", labels: []label{byJob, {name: "status", values: list(models.JobCompleted, models.JobError)}}},
	{name: deliveries, kind: counter, told: "worker", help: "Attempts to deliver an event to a webhook, by what came of them: it was accepted, it was answered otherwise, or there was no answer.",
		labels: []label{{name: "result", values: list(DeliveryAccepted, DeliveryRefused, DeliveryUnanswered)}}},
	{name: deliveriesWaiting, kind: gauge, told: "worker", snapshot: true, labels: []label{byWait},
		help: "Deliveries to webhooks that have not ended: due, which a worker should send now; held, which are being sent, are tried again later or follow an earlier event of their connection; and those of webhooks that are unconfirmed or off."},
	{name: deliveriesOldest, kind: gauge, told: "worker", snapshot: true, labels: []label{byWait},
		help: "Seconds that the delivery that was queued first has waited: since nothing held it up where it is due, else since it was queued."},
	{name: webhooksOff, kind: counter, told: "worker", help: "Webhooks that were switched off, because the address is gone or has accepted nothing for three days.",
		labels: []label{{name: "reason", values: []string{models.OffGone, models.OffFailing, other}}}},

	{name: tasks, kind: counter, told: "worker", help: "Tasks run.", labels: []label{byKind, byResult}},
	{name: taskSeconds, kind: histogram, told: "worker", help: "How long tasks took.", labels: []label{byKind}, buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}},
	{name: sweeps, kind: counter, told: "worker", help: "Sweeps for work that is due.", labels: []label{byResult}},
	{name: sweepSeconds, kind: histogram, told: "worker", help: "How long the parts of sweeps took.",
		labels: []label{{name: "part", values: append(slices.Clone(sweepParts), other)}}, buckets: []float64{.001, .005, .025, .1, .5, 1, 2.5, 5, 10, 30}},
	{name: sweepLag, kind: gauge, told: "worker", asked: true, help: "Seconds since a sweep of this process last ended without an error, or since the process began."},

	{name: buildInfo, kind: gauge, told: "all", help: "1, with the versions of grantd and Go.", labels: []label{{name: "version", open: "of grantd"}, {name: "goversion", open: "of Go"}}},
	{name: dependencyUp, kind: gauge, told: "all", asked: true, help: "1 while the process reaches it.", labels: []label{{name: "dependency", values: list(Redis, SQL)}}},
	{name: poolConnections, kind: gauge, told: "all", asked: true, help: "Connections to the database, less those that only the fetching of tokens uses.",
		labels: []label{{name: "state", values: list(ConnectionUsed, ConnectionIdle)}}},
	{name: poolMax, kind: gauge, told: "all", asked: true, help: "How many connections to the database the process may open."},
	{name: poolWaits, kind: counter, told: "all", asked: true, help: "Times that no connection to the database was free."},
	{name: poolWaited, kind: counter, told: "all", asked: true, help: "Seconds waited for a connection to the database."},
	{name: snapshotErrors, kind: counter, told: "all", help: "Scrapes for which the database or Redis could not be asked, so that metrics are missing."},
	{name: jobsNow, kind: gauge, told: "worker", snapshot: true, help: "Jobs that have not ended.", labels: []label{byJob, {name: "status", values: list(models.JobPending, models.JobRunning)}}},
	{name: jobsOldest, kind: gauge, told: "worker", snapshot: true, help: "Age of the oldest job that has not ended.", labels: []label{byJob, {name: "status", values: list(models.JobPending, models.JobRunning)}}},
	{name: pausesNow, kind: gauge, told: "worker", snapshot: true, help: "Pauses in force, during which an upstream is not called.", labels: []label{byPause}},
	{name: troubledProviders, kind: gauge, told: "worker", snapshot: true, help: "Providers with which something is wrong as a whole, as the answers to several people show.",
		labels: []label{{name: "trouble", values: append(list(models.Troubles...), other)}}},
	{name: connections, kind: gauge, told: "worker", snapshot: true, help: "Authorizations by status, added up from the last STATS job of each organisation.",
		labels: []label{{name: "status", values: append(list(models.AuthorizationStatuses...), other)}}},
	{name: connectionsAge, kind: gauge, told: "worker", snapshot: true, help: "Age of the oldest count in grantd_connections."},
	{name: queueTasks, kind: gauge, told: "worker", snapshot: true, help: "Tasks in Redis.",
		labels: []label{{name: "queue", values: list(jobs.QueueDefault, jobs.QueueSlices)}, {name: "state", values: list(TaskPending, TaskActive)}}},
	{name: queueOldest, kind: gauge, told: "worker", snapshot: true, help: "Seconds that the oldest pending task has waited.",
		labels: []label{{name: "queue", values: list(jobs.QueueDefault, jobs.QueueSlices)}}},
}

// reasons yields the reasons of grantd's own.
func reasons(yield func(string) bool) {
	for r := range models.Reasons {
		if !yield(string(r)) {
			return
		}
	}
}
