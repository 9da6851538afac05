package protocol

import (
	"fmt"
	"slices"
	"strings"
)

// Stored is what the database says of an authorization and its credential.
type Stored struct {
	Generation int64
	Holder     string // of the credential's lease
	Attempt    string
	Refresh    string // the refresh token
	Expired    bool
	Gone       bool
	Item       Item
	Claim      string
}

// Item is what is to become of an authorization.
type Item int

// In the table these are LINKED, TO_REVOKE, SETTLED and FAILED.
const (
	Linked Item = iota
	ToRevoke
	SettledItem
	FailedItem
)

// Log is what happened to one authorization, held to the table as it happens.
type Log struct {
	m         *machine
	s         *state
	base      int64 // the generation that the log began with
	processes map[string]int
	tokens    map[string]int
	steps     []step
	began     []assigned
	Reached   map[int]int // how often each row of the table was reached, by its place
}

// step is one event, and what the table says of the row after it.
type step struct {
	row, me, it                            int
	gen, tok, attempt, expired, gone, item int
}

// Begin begins a log with an authorization as the database has it, that nobody works on.
func Begin(as Stored) (*Log, error) {
	m, err := compileTable()
	if err != nil {
		return nil, err
	}
	l := &Log{m: m, s: newState(), base: as.Generation, processes: map[string]int{}, tokens: map[string]int{as.Refresh: 1}, Reached: map[int]int{}}
	l.began = []assigned{{"tok", 1}, {"issued", 1}, {"item", int(as.Item)}, {"expired", truth(as.Expired)}}
	for _, a := range l.began {
		l.s.plain[a.name] = a.value
	}
	for _, array := range firstToken {
		l.s.set(array, 1, 1)
	}
	return l, nil
}

// process is the number of a process, by the id of its attempt or of its claim.
func (l *Log) process(id string) int {
	if id == "" {
		return 0
	}
	if _, ok := l.processes[id]; !ok {
		l.processes[id] = len(l.processes) + 1
	}
	return l.processes[id]
}

// Knows reports whether a process of this id was in the log.
func (l *Log) Knows(id string) bool { _, ok := l.processes[id]; return ok }

// StateOf is the state of a process.
func (l *Log) StateOf(id string) string { return l.s.location(l.process(id)) }

// Item is what is to become of the authorization, by the table.
func (l *Log) Item() Item { return Item(l.s.plain["item"]) }

// May reports whether the table allows an event now.
func (l *Log) May(e Event, id string) bool { return l.enabled(e, id, "") != nil }

// Idle reports whether a process does nothing, or was never there.
func (l *Log) Idle(id string) bool { return !l.Knows(id) || l.StateOf(id) == idle }

// HasToken reports whether a refresh token is one of this authorization.
func (l *Log) HasToken(refresh string) bool { _, ok := l.tokens[refresh]; return ok && refresh != "" }

// Running is the holder of the credential's lease by the table, "" where none runs.
func (l *Log) Running() string { return l.named(l.s.plain["running"], l.s.plain["holder"]) }

// Claiming is the process that has claimed the item, "" where none does.
func (l *Log) Claiming() string { return l.named(l.s.plain["claiming"], l.s.plain["claim"]) }

func (l *Log) named(whether, process int) string {
	for id, n := range l.processes {
		if whether != 0 && n == process {
			return id
		}
	}
	return ""
}

// tacit are events that leave no trace by themselves: one is taken to have happened where
// another that was seen needs it.
var tacit = map[Event][]Event{
	TakesLease:       {Reads},
	SavesFailure:     {CallFails},
	SavesUnknown:     {CallFails},
	UpstreamRevokes:  {ReadsItem},
	SettlesWithout:   {ReadsItem},
	ConsentReplaces:  {CodeIsExchanged},
	ConsentComesLate: {CodeIsExchanged},
}

// Happens tells of an event: of which process, by an id of its own, and about which refresh
// token, "" for none. The error says why the table does not allow it, or which promise is
// broken.
func (l *Log) Happens(e Event, id, refresh string) error {
	for _, before := range tacit[e] {
		if l.enabled(e, id, refresh) == nil && l.enabled(before, id, refresh) != nil {
			if err := l.happens(before, id, refresh); err != nil {
				return err
			}
		}
	}
	return l.happens(e, id, refresh)
}

func (l *Log) where(id, refresh string) place { return place{l.process(id), l.tokens[refresh]} }

// enabled are the rows that allow an event now.
func (l *Log) enabled(e Event, id, refresh string) (rows []int) {
	at := l.where(id, refresh)
	for i, r := range l.m.rows {
		if r.Event == e && r.in(l.s.location(at.me)) && r.guard(l.s, at) != 0 {
			rows = append(rows, i)
		}
	}
	return rows
}

func (l *Log) happens(e Event, id, refresh string) error {
	rows, at := l.enabled(e, id, refresh), l.where(id, refresh)
	if len(rows) != 1 {
		return fmt.Errorf("%d rows of the table allow that process %d, which is %s, %s; %s", len(rows), at.me, l.s.location(at.me), e, l.says())
	}
	r := l.m.rows[rows[0]]
	if err := l.m.broken(l.s, e, at); err != nil {
		return err
	}
	l.s.apply(r.effect, at)
	if r.Next != "" {
		l.s.loc[at.me] = r.Next
	}
	l.Reached[rows[0]]++
	p := l.s.plain
	l.steps = append(l.steps, step{rows[0], at.me, at.it, p["gen"], p["tok"], p["attempt"], p["expired"], p["gone"], p["item"]})
	return l.m.broken(l.s, "", at)
}

// broken says which promise about an event does not hold.
func (m *machine) broken(s *state, e Event, at place) error {
	for _, p := range m.promises {
		if p.about(e) && !p.EachToken && p.holds(s, at) == 0 {
			return fmt.Errorf("%s: %s", p.Invariant, p.Says)
		}
	}
	return nil
}

// Holds is whether a process read this refresh token last.
func (l *Log) Holds(id, refresh string) bool {
	return l.tokens[refresh] != 0 && l.s.at("my.tok", l.process(id)) == l.tokens[refresh]
}

// Steps is how many events the log has.
func (l *Log) Steps() int { return len(l.steps) }

// Issued tells which refresh token the upstream has issued last.
func (l *Log) Issued(refresh string) {
	if refresh != "" {
		l.tokens[refresh] = l.s.plain["issued"]
	}
}

// Sees compares the table with the row in the database.
func (l *Log) Sees(is Stored) error {
	var different []string
	compare := func(what string, table, database any) {
		if table != database {
			different = append(different, fmt.Sprintf("%s is %v by the table and %v in the database", what, table, database))
		}
	}
	p := l.s.plain
	compare("gone", p["gone"] != 0, is.Gone)
	compare("the item", Item(p["item"]), is.Item)
	if !is.Gone {
		compare("the generation", int64(p["gen"]), is.Generation-l.base)
		compare("the attempt", p["attempt"], l.process(is.Attempt))
		compare("expired", p["expired"] != 0, is.Expired)
		compare("the refresh token", p["tok"], l.tokens[is.Refresh])
	}
	if len(different) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(different, "; "))
}

// says is the row in the database, by the table.
func (l *Log) says() string {
	var all []string
	for _, v := range variables {
		if n := l.s.plain[v.name]; n != 0 {
			all = append(all, fmt.Sprintf("%s = %d", v.name, n))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
