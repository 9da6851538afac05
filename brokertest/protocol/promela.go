package protocol

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// bounded is what costs Spin most, and may happen only so often in one run that it
// explores. All else may happen whenever the table allows it.
var bounded = []struct {
	name   string
	events []Event
}{
	{"refreshes", []Event{Reads}},
	{"claims", []Event{Claims}},
	{"consents", []Event{CodeIsExchanged}},
	{"lost_answers", []Event{AnswerIsLost}},
	{"oddities", []Event{CallFails, ClientIsRefused, FindsAnother, FailsForGood, Borrows, Returns, SettlesWithout}},
}

// scopes are how often that is, each explored to its end: all together once, two claims of one
// item, a replay of a replay, and what is rare.
var scopes = [][]int{
	{2, 1, 1, 1, 0},
	{1, 2, 1, 1, 0},
	{3, 1, 0, 1, 0},
	{1, 1, 1, 1, 1},
	{2, 0, 1, 1, 1},
}

const (
	mostTokens    = 5
	mostProcesses = 7
)

// Model is the Promela file that Spin explores.
func Model() string { return model(Table, scopes) }

// model writes a table as Promela. Each row is one step, which nothing interrupts: that is
// what a conditional write, and a request that is answered, are in grantd.
func model(table []Row, scopes [][]int) string {
	w := &writer{table: table, tokens: mostTokens, processes: mostProcesses}
	w.linef("/* Generated from brokertest/protocol/table.go by go generate. Do not edit. */")
	w.names()
	for _, b := range bounded {
		w.linef("byte %s; /* that may still happen */", b.name)
	}
	w.process("refresh", Refreshing, Any)
	w.process("revocation", Revoking, Any)
	w.process("check", Borrowing, Any)
	w.process("consent", Consenting)
	w.process("deletion", Deleting)
	w.fate()
	w.linef("init { d_step {")
	w.beginning([]assigned{{"tok", 1}, {"issued", 1}})
	w.linef("\t}\n\tatomic {\n\tif")
	for _, times := range scopes {
		w.linef("\t:: d_step {")
		for i, b := range bounded {
			w.linef("\t\t%s = %d;", b.name, times[i])
		}
		w.linef("\t}")
	}
	w.linef("\tfi;\n\trun refresh(1); run refresh(2); run revocation(3); run revocation(4); run consent(5); run deletion(6); run check(7); run fate()\n\t}\n}")
	return w.String()
}

type writer struct {
	strings.Builder
	table             []Row
	tokens, processes int
}

func (w *writer) linef(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// names declares everything.
func (w *writer) names() {
	for _, name := range sortedConstants() {
		w.linef("#define %s %d", name, constants[name])
	}
	for i, s := range states(w.table) {
		w.linef("#define AT_%s %d", s, i)
	}
	for _, v := range variables {
		w.linef("byte %s; /* %s */", v.name, v.says)
	}
	for _, v := range arrays {
		w.linef("byte %s[%d]; /* of a token: %s */", v.name, w.tokens+1, v.says)
	}
	for _, v := range own {
		w.linef("byte my_%s[%d]; /* of a process: %s */", v.name, w.processes+1, v.says)
	}
	w.linef("byte loc[%d]; /* the state of a process */", w.processes+1)
}

// states are all of them, idle first.
func states(table []Row) []string {
	all := []string{idle}
	for _, r := range table {
		for _, s := range append(strings.Split(r.State, or), r.Next) {
			if s != "" && !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// assigned is a variable and what it begins with.
type assigned struct {
	name  string
	value int
}

// firstToken are the arrays that say 1 of the token that everything begins with.
var firstToken = []string{"ok", "chain", "kept", "received"}

func (w *writer) beginning(as []assigned) {
	for _, a := range as {
		w.linef("\t%s = %d;", a.name, a.value)
	}
	for _, array := range firstToken {
		w.linef("\t%s[1] = 1;", array)
	}
}

// process writes one that may do all of some parts.
func (w *writer) process(name string, parts ...Part) {
	w.linef("proctype %s(byte me) {\n\tdo", name)
	for _, r := range w.table {
		if !slices.Contains(parts, r.Part) || r.Event == IsKilled || r.Event == UpstreamEnds {
			continue
		}
		for _, it := range w.about(r) {
			w.option(r, "me", it)
		}
	}
	w.linef("\tod\n}")
}

// about are the tokens that a row may be about.
func (w *writer) about(r Row) []string {
	if !mentions(r.Guard+" "+r.Effect, "it") {
		return []string{"0"}
	}
	var all []string
	for t := 1; t <= w.tokens; t++ {
		all = append(all, fmt.Sprint(t))
	}
	return all
}

func mentions(text, name string) bool {
	return regexp.MustCompile(`\b` + name + `\b`).MatchString(text)
}

// option is a row as something that a process may do.
func (w *writer) option(r Row, me, it string) {
	guard, after := conditions(r, me, it), ""
	for _, b := range bounded {
		if slices.Contains(b.events, r.Event) {
			guard = append(guard, b.name+" > 0")
			after = fmt.Sprintf(" %s = %s - 1;", b.name, b.name)
		}
	}
	w.linef("\t:: d_step { %s ->%s%s%s%s }", strings.Join(guard, " && "), w.asserts(r.Event, me, it), effect(r, me, it), after, w.asserts("", me, it))
}

// conditions are what a row demands of the process and of the rest.
func conditions(r Row, me, it string) (all []string) {
	if r.State != "" {
		var any []string
		for _, s := range strings.Split(r.State, or) {
			any = append(any, fmt.Sprintf("loc[%s] == AT_%s", me, s))
		}
		all = append(all, "("+strings.Join(any, " || ")+")")
	}
	if r.Guard != "" {
		all = append(all, "("+translate(r.Guard, me, it)+")")
	}
	return all
}

func effect(r Row, me, it string) (text string) {
	if r.Effect != "" {
		text = " " + translate(r.Effect, me, it) + ";"
	}
	if r.Next != "" {
		text += fmt.Sprintf(" loc[%s] = AT_%s;", me, r.Next)
	}
	if r.Next == idle { // what a process remembers is of no use to what it does next: so that Spin sees the same state again
		for _, v := range own {
			text += fmt.Sprintf(" my_%s[%s] = 0;", v.name, me)
		}
	}
	if text == "" {
		return " skip;"
	}
	return text
}

// asserts are the promises about an event.
func (w *writer) asserts(e Event, me, it string) (text string) {
	for _, p := range Promises {
		switch {
		case !p.about(e):
		case p.EachToken:
			for t := 1; t <= w.tokens; t++ {
				text += fmt.Sprintf(" assert(%s);", translate(p.Holds, me, fmt.Sprint(t)))
			}
		default:
			text += fmt.Sprintf(" assert(%s);", translate(p.Holds, me, it))
		}
	}
	return text
}

// fate kills one of the two replicas, each of which refreshes and revokes.
func (w *writer) fate() {
	var kill Row
	for _, r := range w.table {
		if r.Event == IsKilled {
			kill = r
		}
	}
	w.linef("proctype fate() {\n\tif")
	w.linef("\t:: d_step { loc[1] != AT_idle || loc[3] != AT_idle ->")
	for _, me := range []string{"1", "3"} {
		w.linef("\t\t%s", effect(kill, me, "0"))
	}
	w.linef("\t}\n\tfi\n}")
}

// Replayed is what Spin prints once it has taken all steps of a log.
const Replayed = "the log was replayed"

// Replay is a log as a Promela file of its own: Spin takes the steps of the log, one after
// the other, by the table, and does not come to the end where the table does not allow one,
// or says something else of the row in the database.
func (l *Log) Replay() string {
	w := &writer{table: Table, tokens: l.s.plain["issued"], processes: len(l.processes)}
	w.names()
	w.linef("init {")
	w.beginning(l.began)
	for _, s := range l.steps {
		r, me, it := w.table[s.row], fmt.Sprint(s.me), fmt.Sprint(s.it)
		guard := strings.Join(append(conditions(r, me, it), "true"), " && ")
		w.linef("\tatomic { %s ->%s%s%s\n\t\tassert(gen == %d && tok == %d && attempt == %d && expired == %d && gone == %d && item == %d) }",
			guard, w.asserts(r.Event, me, it), effect(r, me, it), w.asserts("", me, it), s.gen, s.tok, s.attempt, s.expired, s.gone, s.item)
	}
	w.linef("\tprintf(\"%s\\n\")\n}", Replayed)
	return w.String()
}

var names = regexp.MustCompile(`\bmy\.([a-z]+)|\b(me|it)\b`)

// translate writes a guard or an effect for one process and one token.
func translate(text, me, it string) string {
	return names.ReplaceAllStringFunc(text, func(name string) string {
		switch name {
		case "me":
			return me
		case "it":
			return it
		}
		return "my_" + strings.TrimPrefix(name, "my.") + "[" + me + "]"
	})
}

func sortedConstants() []string {
	var all []string
	for name := range constants {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
