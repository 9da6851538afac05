package protocol

import (
	"fmt"
	"slices"
	"strings"
)

// Row is one thing that may happen: a process in a state may do what the event says if the
// guard holds, and is in the next state then. Guard and effect are written in the small part of
// Promela that language.go reads. Names that begin with my. belong to the process, and me is
// its number; all others belong to the row in the database, the upstream, or what a proof
// remembers beside them.
type Row struct {
	Part   Part
	State  string // "" is any
	Event  Event
	Guard  string // "" always holds
	Next   string // "" is the same state
	Effect string // "" changes nothing
}

// Part is whose events these are.
type Part string

// The parts of the table. Any process meets what is of Any.
const (
	Refreshing Part = "refresh"
	Revoking   Part = "revocation"
	Borrowing  Part = "check of a token" // or its revocation: whatever needs the credential for a call
	Consenting Part = "consent"
	Deleting   Part = "deletion"
	Any        Part = "any"
)

// Event is what happens.
type Event string

// What may happen.
const (
	Reads             Event = "reads the row"
	TakesLease        Event = "takes the lease, and reads the row with it"
	MissesLease       Event = "does not get the lease, and reads the row again"
	GivesLeaseBack    Event = "gives the lease back"
	LeaseIsAnothers   Event = "finds the lease gone"
	UpstreamIssues    Event = "the upstream issues tokens"
	UpstreamRefuses   Event = "the upstream refuses"
	ClientIsRefused   Event = "the upstream refuses the client"
	AnswerArrives     Event = "the answer arrives"
	AnswerIsLost      Event = "the answer is lost"
	CallFails         Event = "the call fails, and did nothing"
	SavesTokens       Event = "saves the tokens"
	LeavesTokens      Event = "leaves the tokens to be revoked"
	DropsTokens       Event = "drops the tokens of a provider that is gone"
	FindsAnother      Event = "saves that the tokens are another account's"
	SavesVerdict      Event = "saves that the grant has expired"
	SavesFailure      Event = "saves that the attempt failed"
	SavesUnknown      Event = "saves that the outcome is unknown"
	FailureIsStale    Event = "finds that the row has moved on"
	Claims            Event = "claims the item"
	LeasesCredential  Event = "leases the credential"
	Returns           Event = "gives the credential back"
	ReadsItem         Event = "reads the item"
	UpstreamRevokes   Event = "the upstream revokes"
	GivesItemBack     Event = "gives the item back"
	Settles           Event = "writes the outcome"
	SettlesWithout    Event = "writes an outcome without a call"
	FailsForGood      Event = "writes that the item failed"
	IsTriedAgain      Event = "the item is tried again"
	Borrows           Event = "borrows the credential"
	FindsRevoked      Event = "saves that the tokens are revoked"
	CodeIsExchanged   Event = "the upstream issues tokens for a code"
	ConsentReplaces   Event = "its tokens replace those of the row"
	ConsentComesLate  Event = "its tokens are left to be revoked"
	Disconnects       Event = "the person disconnects"
	DeleteIsAsked     Event = "the deletion is asked for"
	LeftIsRevoked     Event = "tokens that were left are revoked"
	DeletionCompletes Event = "the deletion is complete"
	LeaseRunsOut      Event = "its lease runs out"
	ClaimRunsOut      Event = "its claim runs out"
	IsKilled          Event = "is killed"
	UpstreamEnds      Event = "the upstream ends a token"
)

// The states of a process. Idle is the first, and what a process that was killed and started
// again is in.
const (
	idle      = "idle"
	read      = "read"
	ready     = "ready"
	issuing   = "issuing" // its answer is on the way
	refusing  = "refusing"
	answered  = "answered"
	refused   = "refused"
	denied    = "denied" // its client is refused
	failed    = "failed"
	unknown   = "unknown"
	claimed   = "claimed"
	held      = "held"
	seen      = "seen"
	revoked   = "revoked"
	borrowed  = "borrowed"
	exchanged = "exchanged"
)

// Of an item: LINKED is an authorization in use. Of a deletion: NONE was asked for.
var constants = map[string]int{
	"LINKED": 0, "TO_REVOKE": 1, "SETTLED": 2, "FAILED": 3,
	"NONE": 0, "RUNNING": 1, "DONE": 2,
}

// variable is a name and what it means.
type variable struct{ name, says string }

// variables are those that are no arrays. Each is explained here and nowhere else.
var variables = []variable{
	{"gen", "the credential's generation (R1)"},
	{"tok", "the refresh token in the credential"},
	{"holder", "the process that the credential's lease was given to last, 0 for none (R2)"},
	{"running", "whether that lease has not run out"},
	{"attempt", "the attempt whose outcome is not known, 0 for none (R3)"},
	{"expired", "whether there is a verdict that the person must consent again (R5)"},
	{"gone", "whether the credential was deleted"},
	{"item", "what is to become of the authorization: LINKED, TO_REVOKE, SETTLED, FAILED (D4)"},
	{"claim", "the process that revokes it, 0 for none (D6)"},
	{"claiming", "whether its claim has not run out"},
	{"outcomes", "how many outcomes were written"},
	{"unproved", "whether the outcome claims no revocation at the upstream"},
	{"lefts", "how many tokens are kept only to be revoked"},
	{"job", "the deletion of the provider: NONE, RUNNING, DONE (D2)"},
	{"codes", "consents whose code was exchanged, and that have no authorization yet"},
	{"issued", "how many refresh tokens the upstream has issued: their numbers count from 1"},
}

// arrays are by token, or by process (my.).
var arrays = []variable{
	{"ok", "the upstream has not replaced this token"},
	{"chain", "the consent that it descends from: the first token of it"},
	{"ended", "by chain: the upstream has revoked it"},
	{"brought", "the token that it was exchanged for, 0 for none"},
	{"calls", "how many requests with it are under way"},
	{"kept", "it was saved in the credential"},
	{"left", "it is kept only to be revoked"},
	{"received", "grantd had it in an answer"},
	{"lost", "the only process that knew it was killed"},
}

var own = []variable{
	{"gen", "the generation that it read"},
	{"before", "the attempt whose outcome was unknown when it took the lease"},
	{"tok", "the refresh token that it read"},
	{"got", "the refresh token that it was given"},
	{"calling", "whether its request is under way"},
	{"time", "whether its call would end before its lease"},
	{"stale", "what its refresh token brought was saved before it read that token (a proof's own)"},
}

// Promise is what must hold whenever an event happens, before its effect; after every effect,
// where there is no event.
type Promise struct {
	Invariant string
	At        []Event
	Holds     string
	EachToken bool // for every token, which the expression calls it
	Says      string
}

// Promises are those of docs/proof.md that can be said of one authorization.
var Promises = []Promise{
	{"I1", []Event{UpstreamIssues, UpstreamRefuses}, "!my.stale", false, "a refresh token is sent again after the tokens that it brought were saved"},
	{"I2", []Event{UpstreamIssues, UpstreamRefuses}, "calls[my.tok] == 0", false, "two requests with one refresh token are under way"},
	{"I4", []Event{Settles, SettlesWithout}, "outcomes == 0", false, "an item has a second outcome"},
	{"I4", []Event{DeletionCompletes}, "unproved || !received[it] || lost[it] || !ok[it] || ended[chain[it]]", true, "a deletion is complete, and the upstream accepts tokens that grantd had"},
	{"I5", []Event{LeftIsRevoked}, "item != LINKED || gone || chain[it] != chain[tok]", false, "an older revocation ends the grant that is in use"},
	{"L2", nil, "!expired || gone || !ok[tok] || ended[chain[tok]]", false, "the person must consent again, although the upstream accepts the refresh token"},
}

// Table is all of it. Where rows of one state and event are there, their guards exclude each
// other.
var Table = []Row{
	{Refreshing, idle, Reads, "!gone", read, "my.gen = gen; my.before = attempt"},
	{Refreshing, read, TakesLease, "!gone && gen == my.gen && attempt == my.before && !running", ready,
		"holder = me; running = 1; attempt = me; my.time = 1; my.tok = tok; my.stale = kept[brought[tok]]"},
	{Refreshing, read, MissesLease, "!gone && (gen != my.gen || attempt != my.before || running)", "", "my.gen = gen; my.before = attempt"},
	{Refreshing, ready, GivesLeaseBack, "!gone && attempt == me && holder == me", idle, "attempt = my.before; holder = 0; running = 0"},
	{Refreshing, ready, LeaseIsAnothers, "gone || attempt != me || holder != me", idle, ""},
	{Refreshing, ready, UpstreamIssues, "my.time && ok[my.tok] && !ended[chain[my.tok]]", issuing,
		"my.calling = 1; calls[my.tok] = calls[my.tok] + 1; issued = issued + 1; ok[my.tok] = 0; ok[issued] = 1; chain[issued] = chain[my.tok]; brought[my.tok] = issued; my.got = issued"},
	{Refreshing, ready, UpstreamRefuses, "my.time && (!ok[my.tok] || ended[chain[my.tok]])", refusing, "my.calling = 1; calls[my.tok] = calls[my.tok] + 1"},
	{Refreshing, ready, ClientIsRefused, "my.time", denied, ""},
	{Refreshing, ready, CallFails, "", failed, ""},
	{Refreshing, issuing, AnswerArrives, "", answered, "my.calling = 0; calls[my.tok] = calls[my.tok] - 1; received[my.got] = 1"},
	{Refreshing, refusing, AnswerArrives, "", refused, "my.calling = 0; calls[my.tok] = calls[my.tok] - 1"},
	{Refreshing, ready + or + issuing + or + refusing, AnswerIsLost, "", unknown, "calls[my.tok] = calls[my.tok] - my.calling; my.calling = 0"},
	{Refreshing, answered, SavesTokens, "!gone && gen == my.gen", idle,
		"gen = gen + 1; kept[my.got] = 1; tok = my.got; my.got = 0; holder = 0; running = 0; attempt = 0; expired = 0"},
	{Refreshing, answered, LeavesTokens, "(gone || gen != my.gen) && job != DONE", idle, "left[my.got] = 1; lefts = lefts + 1; my.got = 0"},
	{Refreshing, answered, DropsTokens, "job == DONE", idle, "my.got = 0"},
	{Refreshing, answered, FindsAnother, "!gone && gen == my.gen && attempt == me", idle,
		"expired = 1; chain[my.got] = my.got; left[my.got] = 1; lefts = lefts + 1; my.got = 0; attempt = 0; " + endsLease},
	{Refreshing, refused, SavesVerdict, "!gone && gen == my.gen && attempt == me", idle, "expired = 1; attempt = 0; " + endsLease},
	{Refreshing, denied + or + refused, SavesFailure, "!gone && gen == my.gen && attempt == me", idle, "attempt = 0; " + endsLease},
	{Refreshing, denied + or + refused, SavesUnknown, "!gone && gen == my.gen && attempt == me && my.before != 0", idle, keepsLease + "running = (holder == me -> 0 : running)"},
	{Refreshing, failed, SavesFailure, "!gone && gen == my.gen && attempt == me && my.before == 0", idle, "attempt = 0; " + endsLease},
	{Refreshing, failed, SavesUnknown, "!gone && gen == my.gen && attempt == me && my.before != 0", idle, keepsLease + "running = (holder == me -> 0 : running)"},
	{Refreshing, unknown, SavesUnknown, "!gone && gen == my.gen && attempt == me", idle, keepsLease + "running = 1"},
	{Refreshing, refused + or + denied + or + failed + or + unknown, FailureIsStale, "gone || gen != my.gen || attempt != me", idle, ""},

	{Revoking, idle, Claims, "item == TO_REVOKE && !claiming", claimed, "claim = me; claiming = 1; my.time = 1"},
	{Revoking, claimed + or + held + or + seen, LeasesCredential, "!gone && (!running || holder == me)", held, "holder = me; running = 1"},
	{Revoking, held, ReadsItem, "!gone", seen, "my.gen = gen; my.tok = tok"},
	{Revoking, held + or + seen + or + revoked, Returns, "!gone && holder == me", claimed, "holder = 0; running = 0"},
	{Revoking, seen, UpstreamRevokes, "my.time", revoked, "ended[chain[my.tok]] = 1"},
	{Revoking, revoked, Settles, "item == TO_REVOKE && claim == me && !gone && gen == my.gen", idle,
		"item = SETTLED; outcomes = outcomes + 1; gone = 1; claim = 0; claiming = 0; holder = 0; running = 0; attempt = 0"},
	{Revoking, seen, SettlesWithout, "item == TO_REVOKE && claim == me && !gone && gen == my.gen", idle,
		"item = SETTLED; unproved = 1; outcomes = outcomes + 1; gone = 1; claim = 0; claiming = 0; holder = 0; running = 0; attempt = 0"},
	{Revoking, claimed + or + held + or + seen + or + revoked, FailsForGood, "item == TO_REVOKE && claim == me && !gone", idle,
		"item = FAILED; holder = (holder == me -> 0 : holder); running = (holder == 0 -> 0 : running); claim = 0; claiming = 0"},
	{Revoking, claimed + or + held + or + seen + or + revoked, GivesItemBack, "", idle,
		"holder = (holder == me && !gone -> 0 : holder); running = (holder == 0 -> 0 : running); claiming = (claim == me -> 0 : claiming); claim = (claim == me -> 0 : claim)"},
	{Revoking, idle, LeftIsRevoked, "left[it]", "", "ended[chain[it]] = 1; left[it] = 0; lefts = lefts - 1"},

	{Borrowing, idle, Borrows, "!gone && !running", borrowed, "holder = me; running = 1"},
	{Borrowing, borrowed, Returns, "!gone && holder == me", idle, "holder = 0; running = 0"},
	{Borrowing, borrowed, FindsRevoked, "!gone && holder == me", idle, "expired = 1; ended[chain[tok]] = 1; holder = 0; running = 0"},

	{Consenting, idle, CodeIsExchanged, "job != DONE", exchanged,
		"issued = issued + 1; ok[issued] = 1; chain[issued] = issued; received[issued] = 1; my.got = issued; codes = codes + 1"},
	{Consenting, exchanged, ConsentReplaces, "item == LINKED && !gone", idle,
		"left[tok] = 1; lefts = lefts + 1; gen = gen + 1; tok = my.got; kept[tok] = 1; holder = 0; running = 0; attempt = 0; expired = 0; codes = codes - 1"},
	{Consenting, exchanged, ConsentComesLate, "item != LINKED || gone", idle, "left[my.got] = 1; lefts = lefts + 1; codes = codes - 1"},

	{Deleting, idle, Disconnects, "item == LINKED", "", "item = TO_REVOKE"},
	{Deleting, idle, DeleteIsAsked, "job == NONE", "", "job = RUNNING; item = (item == LINKED -> TO_REVOKE : item)"},
	{Deleting, idle, IsTriedAgain, "item == FAILED", "", "item = TO_REVOKE; outcomes = 0"},
	{Deleting, idle, DeletionCompletes, "job == RUNNING && item == SETTLED && codes == 0 && lefts == 0", "", "job = DONE"},

	{Any, "", LeaseRunsOut, "running && holder == me && !my.calling", "", "running = 0; my.time = 0"},
	{Any, "", ClaimRunsOut, "claiming && claim == me", "", "claiming = 0; my.time = 0"},
	{Any, "", IsKilled, "", idle, "calls[my.tok] = calls[my.tok] - my.calling; my.calling = 0; my.time = 0; lost[my.got] = 1; my.got = 0"},
	{Any, "", UpstreamEnds, "", "", "ok[it] = 0"},
}

// or stands between states of which a row is about any.
const or = ", "

// What becomes of a lease where an attempt ends without tokens: one that somebody else holds by
// now stays.
const (
	endsLease  = "holder = (running && holder != me -> holder : 0); running = (holder == 0 -> 0 : running)"
	keepsLease = "holder = (running && holder != me -> holder : me); "
)

// String names a row by its part, its state and its event.
func (r Row) String() string {
	state := r.State
	if state == "" {
		state = "any state"
	}
	return fmt.Sprintf("%s, %s: %s", r.Part, state, r.Event)
}

// in reports whether a row is about a state.
func (r Row) in(state string) bool {
	return r.State == "" || slices.Contains(strings.Split(r.State, or), state)
}

// about reports whether a promise is about an event; "" stands for after any.
func (p Promise) about(e Event) bool { return e == "" && p.At == nil || slices.Contains(p.At, e) }
