package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Decision is a move or a fault of a play. A play with some of them alone is a play too:
// what the scheduler decides depends on the seed and the number of the decision alone.
type Decision struct {
	Number int
	Move   string // "" is a fault
	What   string // in the words of the log
}

// mostTries bounds how many plays a minimising takes.
const mostTries = 300

// Minimise plays a seed with ever fewer of its moves and faults, as long as holds says that what
// it looks for still happens. It returns what is left; holds must be true of the seed itself.
func (s *Stage) Minimise(seed uint64, holds func(Result) bool) (Result, Options) {
	s.t.Helper()
	best, tries := s.Play(seed, Options{}), 0
	o := Options{Only: best.Decisions}
	for size := len(o.Only); size > 0 && tries < mostTries; {
		shorter := false
		for at := len(o.Only); at > 0 && tries < mostTries; at = min(at-size, len(o.Only)) { // what came last matters least
			try := o
			try.Only = slices.Delete(slices.Clone(o.Only), max(0, at-size), at)
			if len(try.Only) == 0 {
				continue
			}
			tries++
			if r := s.Play(seed, try); holds(r) {
				best, shorter = r, true
				o.Only = r.Decisions // not all of those that may be made can be
			}
		}
		if size > 1 || !shorter {
			size /= 2
		}
	}
	return best, o
}

// Told is the story of a minimised play, for a person to read: which moves and faults are left
// and what came of them.
func (r Result) Told(o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Seed %d breaks a promise with these moves and faults alone:\n", r.Seed)
	for _, d := range r.Decisions {
		fmt.Fprintf(&b, "  %s\n", d.What)
	}
	b.WriteString("What happens then, up to the broken promise:\n")
	for line := range strings.Lines(r.Story()) {
		if quiet(line) {
			continue
		}
		b.WriteString(line)
		if strings.Contains(line, "  BROKEN ") {
			break
		}
	}
	fmt.Fprintf(&b, "make simulate SEED=%d ONLY=%s plays it again.\n", r.Seed, join(o.Only))
	return b.String()
}

// quiet reports whether a line of the story tells of housekeeping only.
func quiet(line string) bool {
	return strings.Contains(line, ", sweep ") && (strings.Contains(line, ": DELETE FROM ") || strings.Contains(line, ": UPDATE flows") ||
		strings.Contains(line, " token_") || strings.HasSuffix(line, ": COMMIT\n") || strings.HasSuffix(line, ": COMMIT of nothing\n"))
}

// join writes decisions, such as 17:disconnect,25 where 25 is a fault.
func join(all []Decision) string {
	parts := make([]string, len(all))
	for i, d := range all {
		parts[i] = strings.TrimSuffix(strconv.Itoa(d.Number)+":"+strings.ReplaceAll(d.Move, " ", "_"), ":")
	}
	return strings.Join(parts, ",")
}

// split reads what join writes.
func split(text string) (all []Decision, err error) {
	for part := range strings.SplitSeq(text, ",") {
		number, move, _ := strings.Cut(part, ":")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("%q is no number", number)
		}
		all = append(all, Decision{Number: n, Move: strings.ReplaceAll(move, "_", " ")})
	}
	return all, nil
}
