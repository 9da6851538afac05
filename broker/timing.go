package broker

import "time"

// Every duration and threshold of the broker has its name here, by what it is about.
// What operators may set is beside its settings: Retention, Limits and SessionLife.

// Timing is how long things may take.
type Timing struct {
	CallerWait   time.Duration // a caller waits for an upstream (R2)
	TokenCall    time.Duration // a call to a token endpoint, detached (R2)
	LeaseMargin  time.Duration // a lease outlives its call by this
	InlineRevoke time.Duration // a disconnect tries the upstream before it answers
	RefreshWait  time.Duration // a disconnect waits for a running refresh (R9)
	RevokeCall   time.Duration // one revocation
	Slice        time.Duration // a deletion's task ends after this (D6)
	FlowLife     time.Duration // a state works for this long
	Resweep      time.Duration // a job that nobody works on is enqueued again
	ClientProbe  time.Duration // a refused client is tried again (R5)
	LostAgain    time.Duration // a replay whose answer was lost too is replayed after this; it doubles (R3)
	Backoff      time.Duration // the first pause after a failure; it doubles
	Events       time.Duration // events of other processes are looked for this often
	Forget       time.Duration // a sweep that found nothing to delete of a kind looks again after this
}

// DefaultTiming is what a running instance uses.
var DefaultTiming = Timing{
	CallerWait:   4500 * time.Millisecond,
	TokenCall:    30 * time.Second,
	LeaseMargin:  10 * time.Second,
	InlineRevoke: 4 * time.Second,
	RefreshWait:  2 * time.Second,
	RevokeCall:   10 * time.Second,
	Slice:        5 * time.Second,
	FlowLife:     10 * time.Minute,
	Resweep:      10 * time.Second,
	ClientProbe:  5 * time.Minute,
	LostAgain:    5 * time.Minute,
	Backoff:      time.Second,
	Events:       time.Second,
	Forget:       20 * time.Second,
}

func (t Timing) withDefaults() Timing {
	for _, f := range []struct{ set, def *time.Duration }{
		{&t.CallerWait, &DefaultTiming.CallerWait}, {&t.TokenCall, &DefaultTiming.TokenCall},
		{&t.LeaseMargin, &DefaultTiming.LeaseMargin}, {&t.InlineRevoke, &DefaultTiming.InlineRevoke},
		{&t.RefreshWait, &DefaultTiming.RefreshWait}, {&t.RevokeCall, &DefaultTiming.RevokeCall},
		{&t.Slice, &DefaultTiming.Slice}, {&t.FlowLife, &DefaultTiming.FlowLife},
		{&t.Resweep, &DefaultTiming.Resweep}, {&t.ClientProbe, &DefaultTiming.ClientProbe},
		{&t.LostAgain, &DefaultTiming.LostAgain}, {&t.Backoff, &DefaultTiming.Backoff}, {&t.Events, &DefaultTiming.Events},
		{&t.Forget, &DefaultTiming.Forget},
	} {
		if *f.set == 0 {
			*f.set = *f.def
		}
	}
	return t
}

// itemLease is how long an item of revocation is claimed for: it may wait for a
// call before its own (maxBatches), and then there is its outcome to write.
func (t Timing) itemLease() time.Duration { return maxBatches*t.RevokeCall + t.LeaseMargin/2 }

// Events and webhooks.
const (
	// numberBatch is how many events of an organisation get their numbers at once.
	numberBatch = 200
	// maxDeliveries, webhookInFlight and orgInFlight are how many deliveries are under way at once: in a process, to one
	// webhook and to all those of an organisation.
	maxDeliveries   = 64
	webhookInFlight = 4
	orgInFlight     = 16
	// deliveryTime is how long a receiver may take to answer, and deliveryLease how long nobody else delivers meanwhile.
	deliveryTime  = 10 * time.Second
	deliveryLease = 30 * time.Second
	// deliveryPatience is how long one event is tried, and how long a webhook may accept nothing before it is switched off.
	deliveryPatience = 72 * time.Hour
	// receiverAway is after how many attempts in a row without an answer, or with a failure of the server's, a receiver counts
	// as away. Then it is sent one event at a time, after a pause that doubles from firstAway to longestAway.
	receiverAway = 3
	firstAway    = 5 * time.Second
	longestAway  = 5 * time.Minute
	// keptAttempts is how many attempts are shown of a delivery.
	keptAttempts = 10
	// formerKeysLife is how long requests are also signed with the keys that were replaced.
	formerKeysLife = 24 * time.Hour
	// followAgain is how often it is noted that an organisation follows its events.
	followAgain = 12 * time.Hour
	// maxWebhooks is how many an organisation may have.
	maxWebhooks = 20
)

// deliveryWaits are the pauses between the attempts to deliver one event; the last one repeats.
var deliveryWaits = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}

// Handing out tokens and refreshing them.
const (
	// A read refreshes a token once refreshMargin of its life is left, or one
	// refreshPart'th of it where that is less (R7).
	refreshMargin = time.Minute
	refreshPart   = 5
	// assumedLifetime is when a token is refreshed whose lifetime nobody ever told (R14).
	assumedLifetime = time.Hour
	// recentUse is since when a token must have been fetched to be refreshed before
	// anybody asks again.
	recentUse = time.Hour
	// useStep is by how much the time must move until which a token counts as in use, for
	// that to be written again.
	useStep = 15 * time.Minute
	// checkLife is how long the answer of a check is remembered, so that a loop of checks
	// uses up nobody's rate limit at the upstream.
	checkLife = 10 * time.Second
	// proofMargin is how long an access token must live yet whose rejection by a revocation is to
	// mean something: clocks differ, and the call takes its time (D4).
	proofMargin = 30 * time.Second
	// longestBackoff and longestRefusalBackoff are the longest pauses of an authorization
	// after failures that may pass, and after refusals.
	longestBackoff        = time.Minute
	longestRefusalBackoff = 10 * time.Minute
	// longestLostAgain is the longest pause before an attempt is replayed whose answer was
	// lost again and again (R3).
	longestLostAgain = time.Hour
	// brokenOffLease is how long an attempt may still be under way upstream whose
	// connection broke.
	brokenOffLease = time.Second
	// callPart says that a call to a token endpoint is not begun with less than one
	// callPart'th of its time left.
	callPart = 2
	// wakeMargin is what a call gets on top of its time when the process was asleep as it
	// ran out.
	wakeMargin = 2 * time.Second
	// callProbe is how long others wait for the answer to the first call after a pause.
	callProbe = 10 * time.Second
	// shortestLag is how long an answer that settled nothing is given before it is asked
	// for again, and longestLag how long at most, whatever the type says.
	shortestLag = 500 * time.Millisecond
	longestLag  = time.Second
)

// What refusals show about one grant: see verdicts.
const (
	// sameRefusals is how many times a refusal has to be the same before it counts as the
	// end, within sameWithWitness where another grant was accepted meanwhile.
	sameRefusals    = 5
	sameWithWitness = time.Hour
	sameAlone       = 24 * time.Hour
	anyRefusals     = 7 * 24 * time.Hour
)

// What refusals show about a provider as a whole: see findTrouble.
const (
	manyRefused = 5 // people refused in a row show that the client is
	manyAlike   = 3 // or whose answers are the same, or cannot be read
	fewLiving   = 2 // authorizations; so few can show it by themselves
	fewTimes    = 3 // by this many refusals of the client
	fewWithin   = 15 * time.Minute
	rowWithin   = 24 * time.Hour // refusals before do not count
)

// Consents, devices and imports.
const (
	// saveAgain is the first pause before a save that must not be lost is repeated; it
	// doubles up to longestSaveAgain. saveCall bounds one try (R1).
	saveAgain        = 50 * time.Millisecond
	longestSaveAgain = 2 * time.Second
	saveCall         = 10 * time.Second
	// maxDeviceLife is how long a device flow lives at most, and waits between two polls,
	// whatever the upstream says.
	maxDeviceLife = 30 * time.Minute
	// slowDown is what an upstream that names no interval adds to it.
	slowDown = 5 * time.Second
	// longestPollAgain is the longest pause after polls that failed.
	longestPollAgain = time.Minute
	// installationsWait is how long the list of an app's installations may take, which is
	// a courtesy beside the answer proper.
	installationsWait = 3 * time.Second
	// maxLifetime is the longest life of a token that an import may claim.
	maxLifetime = 10 * 365 * 24 * time.Hour
	// settleAgain is how long after a try to settle tokens without an owner the next one
	// may follow, and longestSettle how long at most, after many.
	settleAgain   = time.Minute
	longestSettle = time.Hour
)

// Revoking.
const (
	// A process claims no more of an organisation's items than it can send within the
	// lease: maxBatches at a time, whatever the number of slices, each of as many items as
	// the organisation may have in flight. Two, so that something is sent while the
	// outcomes of one of them are written.
	maxBatches = 2
	// A starting job rings for a task for every itemsPerSlice items, but for no more than
	// maxSlices.
	itemsPerSlice = 64
	maxSlices     = 8
	// unlinkBatch is how many authorizations of a user whose everything is revoked are
	// unlinked at a time, before each batch of items: many more than are revoked meanwhile.
	unlinkBatch = 2000
	// How often an item of a job is tried before it has failed. An upstream that is down
	// for minutes fails nothing; one that says no and means it is not asked for long. A
	// single disconnect is tried for as long as its tombstone is kept.
	maxAttempts  = 14
	maxRefusals  = 3
	longestPause = time.Hour // between two attempts at a single disconnect
	// newerConsentAgain is when a single disconnect is tried again that waits for another
	// authorization on its grant to end.
	newerConsentAgain = time.Hour
	// longestEstimate is the longest time that an estimate is worth telling.
	longestEstimate = 10 * 365 * 24 * time.Hour
)

// Connect links.
const (
	linkLife        = 10 * time.Minute // that a link can be opened, where the app does not say
	longestLinkLife = time.Hour
	linkConfirmLife = 10 * time.Minute // from the consent to the app's confirmation
)

// Signing in.
const (
	signInLife  = 10 * time.Minute // that a person may take at the issuer
	signInCall  = 10 * time.Second // that the issuer may take to answer
	signInDrift = time.Minute      // between the issuer's clock and this one
)

// Client secrets, and API tokens that are made in the pages.
const (
	maxFormerSecret   = 7 * 24 * time.Hour  // that a former secret is kept
	formerSecretNoted = time.Minute         // between notes that it was accepted
	longestOfSignIn   = 90 * 24 * time.Hour // of an API token that is made by who signed in at the issuer
)

// What is counted of each day.
const (
	wholeDay          = 24 * time.Hour
	statisticsOverlap = 3 * time.Hour // after midnight in which the day before is counted once more
)

// Waiting in this process for a row that another one may change.
const (
	shortestPoll        = 100 * time.Millisecond // between polls of a job's or link's row that changes
	longestPoll         = 500 * time.Millisecond // between polls of one that does not
	pollTimeout         = 5 * time.Second        // of one poll
	leasePoll           = 50 * time.Millisecond  // between tries for a lease that somebody else has
	refreshPoll         = 10 * time.Millisecond  // the first pause between looks at another process's refresh; it grows by a sixteenth
	longestRefreshPoll  = 100 * time.Millisecond
	exchangePoll        = 20 * time.Millisecond // the same for its exchange of a code; it doubles
	longestExchangePoll = 200 * time.Millisecond
	// agentWait is how long a client that listens for a link waits for one answer.
	agentWait = time.Minute
	// MaxWait is how long WaitJob may be asked to wait.
	MaxWait = time.Minute
)

// Bearer tokens of trusted issuers.
const (
	issuerDrift = time.Minute     // between the issuer's clock and this one
	bearerLife  = 5 * time.Minute // that a verified token is remembered for at most
	bearerLimit = 10_000          // of them, for each issuer
	// refusalToldAgain is how long after a refusal was logged the same reason is logged
	// again, and refusalsTold how many reasons of an issuer are kept.
	refusalToldAgain = time.Minute
	refusalsTold     = 100
)

// What a Retry-After says where nothing better is known.
const (
	retrySoon         = time.Second      // something passing: the next try may work
	retrySlowUpstream = 2 * time.Second  // the upstream is slow, and its answer is still awaited
	tryWaiting        = 5 * time.Second  // too many requests of the caller wait already
	tryConsent        = 30 * time.Second // too many open consents, which end one by one
	tryIssuer         = 5 * time.Second  // the keys of a trusted issuer have not been read yet
	tryKeyset         = time.Minute      // an operator has to see to the keyset
)

// Callers, in the memory of one process.
const (
	callerLife  = 10 * time.Second // of an API token that was looked up
	callerLimit = 10_000           // of them
	useNoted    = time.Hour        // the use of an API token, at most
	tallyWindow = time.Minute      // that is counted within
	// tallySize bounds the memory of a tally. While it is full those who are not in it
	// yet are not counted: no other count is dropped to make room (T2).
	tallySize = 1 << 16
)

// The sweep.
const (
	sweepBatch = 100 // of each kind of work that is due
	// How much is deleted in a sweep: batches until one is not full, but after the quota
	// only for a while, since other work waits. A sweep every two seconds deletes at least
	// 5,000 rows a second of each kind.
	forgetBatch = 2000
	forgetQuota = 10_000
	forgetFor   = 500 * time.Millisecond
	// formerLife is how long processes of the release before may run beside this one.
	formerLife = 24 * time.Hour
	// upgradeBatch is how many of its rows are written at a time, and upgradeBatches how
	// many times in one sweep.
	upgradeBatch   = 200
	upgradeBatches = 10
	// statsTime is how long STATS may count before another worker begins anew, since the
	// first one must have died.
	statsTime = time.Minute
	// statsWindow is what STATS counts actions within.
	statsWindow = 24 * time.Hour
	// statsLife is how old the last STATS job of an organisation may be to be told by metrics:
	// each is made anew every hour.
	statsLife = 3 * time.Hour
)

// The console.
const recentSignIn = 15 * time.Minute // for so long after signing in a person may do what cannot be undone
