package broker

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
)

// Options are what a Service is made of.
type Options struct {
	Store    *store.Store
	Upstream *providers.Registry
	Keys     *secrets.Keyring
	Bell     *jobs.Bell
	// Pace shares out what upstreams take in an hour; nil shares with no other process.
	Pace *jobs.Pace
	// Receivers are where webhooks may be sent to; nil for public addresses alone.
	Receivers *providers.Receivers
	// Metrics counts what happens; nil counts for nobody.
	Metrics *metrics.Metrics
	// PublicURL is where people and clients reach this instance.
	PublicURL string
	// RedirectAllow are origins, such as https://app.example.com, that a consent
	// may return to beside the public URL's and loopback (A1).
	RedirectAllow []string
	// AnyRedirect admits every well-formed redirect_uri; for trying things out.
	AnyRedirect bool
	// Log is where failures go; nil discards them.
	Log *slog.Logger
	// Timing overrides single durations of DefaultTiming.
	Timing Timing
	// Retention overrides single fields of DefaultRetention.
	Retention Retention
	// Limits overrides single fields of DefaultLimits.
	Limits Limits
	// SignIn is how people sign in to the pages beside API tokens.
	SignIn SignIn
	// Issuers are those whose bearer tokens are accepted beside API tokens.
	Issuers []TrustedIssuer
	// Sessions overrides single fields of DefaultSessionLife.
	Sessions SessionLife
	// Concurrency is how many revocations of one organisation the process has in flight;
	// 0 means 32.
	Concurrency int
	// Random returns a number from 0 to below n, for pauses of different length; nil means
	// math/rand.
	Random func(n int64) int64
	// Refreshes is how many refreshes the process has under way; 0 means 512.
	Refreshes int
	// TokensByAdmins has admins make API tokens of every role over the API, and not of users only.
	TokensByAdmins bool
}

// Service is grantd. Its methods are safe for concurrent use, by as many
// processes as share the database.
type Service struct {
	store     *store.Store
	upstream  *providers.Registry
	keys      *secrets.Keyring
	bell      *jobs.Bell
	pace      *jobs.Pace
	log       *slog.Logger
	metrics   *metrics.Metrics
	publicURL string
	redirects redirectPolicy
	timing    Timing
	keep      Retention
	signIn    SignIn
	once      onceCode
	sessions  SessionLife

	callers        callerCache
	issuers        atomic.Pointer[issuers]
	uses           tokenUses
	tokensByAdmins bool
	random         func(n int64) int64 // nil: math/rand
	fetches        fetchCounter
	flights        *flights            // refreshes under way in this process
	kept           []*kept             // what sweeps delete
	feeding        atomic.Bool         // refreshes ahead are being taken up: see ahead.go
	checking       singleflight.Group  // checks under way in this process, by authorization
	inflight       inflight            // calls that must end before the process may
	swept          hourly              // when this process last asked for hourly work
	slots          *concurrency        // revocations in flight
	batches        *concurrency        // batches claimed
	slices         *shares             // slices of jobs under way
	singles        *shares             // revocations of single authorizations by workers under way
	stopping       atomic.Bool         // no slice takes up more
	former         atomic.Bool         // processes of the release before may run: see upgrade.go
	jobs           pollers[models.Job] // jobs that callers wait for
	links          pollers[bool]       // links that clients listen for
	limits         Limits
	requests       places // being answered
	waiting        places // of them, those that wait
	queueing       places // of them, those that wait for a refresh to begin
	receivers      *providers.Receivers
	told           chan struct{}  // that an event is in the outbox
	feeds          pollers[int64] // numbers of the last events of organisations whose stream is followed
	imports        tally[owner]
	checks         tally[owner]
	failures       tally[netip.Prefix] // to authenticate

	// dryBesides are providers with enough refreshes in line, beside which nothing was due any more since the last sweep.
	dryBesides atomic.Pointer[[]string]
}

// New makes a Service. It stops when the keyset is not the one this database was
// filled with (K2).
func New(ctx context.Context, o Options) (*Service, error) {
	s := &Service{
		store: o.Store, upstream: o.Upstream, keys: o.Keys, bell: o.Bell, pace: o.Pace, log: o.Log, metrics: o.Metrics,
		publicURL: strings.TrimRight(o.PublicURL, "/"), timing: o.Timing.withDefaults(), keep: o.Retention.withDefaults(), limits: o.Limits.withDefaults(),
		signIn: o.SignIn, sessions: o.Sessions.withDefaults(), slots: newConcurrency(cmp.Or(o.Concurrency, 32)), batches: newConcurrency(maxBatches), slices: newShares(jobs.Queues[jobs.QueueSlices]), singles: newShares(jobs.Queues[jobs.QueueDefault]), tokensByAdmins: o.TokensByAdmins, random: o.Random,
	}
	s.flights = newFlights(cmp.Or(o.Refreshes, 512), &s.inflight)
	s.kept = s.keptKinds()
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.metrics == nil {
		s.metrics = metrics.New("") // nobody reads it, so changes need not be observed
	} else {
		changes := s.metrics.Changes()
		changes.Told = s.noteTold
		s.store.Observe(changes)
	}
	s.receivers, s.told = o.Receivers, make(chan struct{}, 1)
	if s.receivers == nil {
		var err error
		if s.receivers, err = providers.NewReceivers(nil, nil); err != nil {
			return nil, err
		}
	}
	if s.pace == nil {
		s.pace = jobs.NewPace(nil)
	}
	public, err := url.Parse(s.publicURL)
	if err != nil || public.Host == "" {
		return nil, fmt.Errorf("the public URL %q is not absolute", o.PublicURL)
	}
	s.redirects = redirectPolicy{public: origin(public), allow: o.RedirectAllow, any: o.AnyRedirect}
	s.issuers.Store(&issuers{})
	return s, errors.Join(s.checkKeyset(ctx), s.checkUpgrade(ctx), s.bindSignInName(ctx), s.TrustIssuers(ctx, o.Issuers))
}

// canary is the name of the fact that ties a database to its keyset.
const canary = "canary"

// checkKeyset opens the canary with the keyset, or seals the first one.
func (s *Service) checkKeyset(ctx context.Context) error {
	sealed, err := s.store.Meta(ctx, canary)
	if err == nil && sealed == nil {
		if sealed, err = s.keys.Canary(); err == nil {
			sealed, err = s.store.StateMeta(ctx, canary, sealed)
		}
	}
	if err != nil {
		return fmt.Errorf("reading the keyset's canary: %w", err)
	}
	if err := s.keys.CheckCanary(sealed); err != nil {
		return errors.New("the keyset is not the one that this database was filled with, and a database without its keyset is worthless: restore the right one")
	}
	return nil
}

// Part is one of the things an instance stands on.
type Part struct {
	Name   string
	Err    error
	Needed bool // without it the instance cannot serve
}

// Ready asks each part. SQL is needed; without Redis tokens are still handed out
// and jobs accepted, and the sweeper does what the bell would have rung for.
func (s *Service) Ready(ctx context.Context) []Part {
	return []Part{{"redis", s.bell.Ping(ctx), false}, {"sql", s.store.Ping(ctx), true}}
}

// Wait returns when no call that may spend a token is in flight, or when ctx
// ends (R2).
func (s *Service) Wait(ctx context.Context) error { return s.inflight.wait(ctx) }

// JobURL is the absolute location of a job.
func (s *Service) JobURL(id string) string {
	return s.publicURL + "/api/v2/externalOAuth/jobs/" + id + "/"
}

// newID makes an id that sorts by the time it was made (UUIDv7).
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// randomText is 256 bits that nobody can guess, as 43 URL-safe characters.
func randomText() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Page is one page of a list ordered by creation.
type Page[T any] struct {
	Data []T
	// Next and Previous are the cursors of the pages after and before this one, ""
	// where there is none.
	Next     string
	Previous string
}

// paging judges limit and cursor. limit 0 means def.
func paging(limit, def int, cursor string) (int, *store.Position, error) {
	if limit == 0 {
		limit = def
	}
	if limit < 1 || limit > 1000 {
		return 0, nil, models.Invalid(models.FieldError{Name: "limit", Message: "must be between 1 and 1000"})
	}
	if cursor == "" {
		return limit, nil, nil
	}
	at, err := store.ParsePosition(cursor)
	if err != nil {
		return 0, nil, models.Invalid(models.FieldError{Name: "cursor", Message: "must be a cursor from a next or previous link"})
	}
	return limit, &at, nil
}

// asItIs shows a row that is what a page holds.
func asItIs[T any](row T) T { return row }

// cut makes a page of up to limit out of rows that were asked for with one more,
// which only tells that the list goes on.
func cut[R, T any](rows []R, limit int, from *store.Position, position func(R) store.Position, show func(R) T) Page[T] {
	more, back := len(rows) > limit, from != nil && from.Back
	switch {
	case more && back:
		rows = rows[1:]
	case more:
		rows = rows[:limit]
	}
	p := Page[T]{Data: []T{}}
	for _, r := range rows {
		p.Data = append(p.Data, show(r))
	}
	if len(rows) == 0 {
		return p
	}
	if more || back {
		p.Next = position(rows[len(rows)-1]).String()
	}
	if more && back || from != nil && !back {
		first := position(rows[0])
		first.Back = true
		p.Previous = first.String()
	}
	return p
}

// oneOf refuses values of a filter that are not in the closed list of this service:
// a misspelled one would match nothing, and look as if there were nothing.
func oneOf[T ~string](name string, known []T, given ...string) error {
	for _, value := range given {
		if !slices.Contains(known, T(value)) {
			return models.Invalid(models.FieldError{Name: name, Message: "must be one of " + enumeration(known)})
		}
	}
	return nil
}

func enumeration[T ~string](all []T) string {
	var names []string
	for _, one := range all {
		if !slices.Contains(names, string(one)) {
			names = append(names, string(one))
		}
	}
	return strings.Join(names, ", ")
}
