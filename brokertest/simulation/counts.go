package simulation

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/grantd/grantd/brokertest/protocol"
)

// Counts are what many plays met.
type Counts struct {
	From, Seeds uint64
	Gates       int
	Seconds     float64        // of one core
	Faults      map[string]int // how often each happened
	Pairs       map[string]int // in how many plays both happened
	Moves       map[string]int
	Rows        map[string]int
	Failed      []string // a line for each promise that was broken
}

// NewCounts begins with a seed.
func NewCounts(from uint64) *Counts {
	return &Counts{From: from, Faults: map[string]int{}, Pairs: map[string]int{}, Moves: map[string]int{}, Rows: map[string]int{}}
}

// Add counts a play.
func (c *Counts) Add(r Result) {
	c.Seeds++
	c.Gates += r.Gates
	addTo(c.Faults, r.Faults)
	addTo(c.Moves, r.Moves)
	addTo(c.Rows, r.Rows)
	kinds := slices.Sorted(maps.Keys(r.Faults))
	for i, a := range kinds {
		for _, b := range kinds[i+1:] {
			c.Pairs[a+" + "+b]++
		}
	}
	for _, v := range r.Violations {
		c.Failed = append(c.Failed, fmt.Sprintf("seed %d: %s", r.Seed, v))
	}
}

// Join adds what the seeds that follow met, as another process counted it.
func (c *Counts) Join(next *Counts) error {
	if next.From != c.From+c.Seeds {
		return fmt.Errorf("the seeds from %d on do not follow %d", next.From, c.From+c.Seeds-1)
	}
	c.Seeds += next.Seeds
	c.Gates += next.Gates
	c.Seconds += next.Seconds
	c.Failed = append(c.Failed, next.Failed...)
	addTo(c.Faults, next.Faults)
	addTo(c.Pairs, next.Pairs)
	addTo(c.Moves, next.Moves)
	addTo(c.Rows, next.Rows)
	return nil
}

func addTo(to, more map[string]int) {
	for name, n := range more {
		to[name] += n
	}
}

// Save writes them to a file.
func (c *Counts) Save(path string) error {
	text, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}

// LoadCounts reads them again.
func LoadCounts(path string) (*Counts, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &Counts{}
	return c, json.Unmarshal(text, c)
}

// NeverReached are the rows of the table of the protocol that no play reached.
func (c *Counts) NeverReached() (rows []string) {
	for _, row := range protocol.Table {
		if name := row.String(); c.Rows[name] == 0 && !slices.Contains(rows, name) {
			rows = append(rows, name)
		}
	}
	return rows
}

// Page is what docs/proof.md says of them.
func (c *Counts) Page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "The seeds %d to %d were played at %.1f for each second of a core, and passed %d gates. ", c.From, c.From+c.Seeds-1, float64(c.Seeds)/c.Seconds, c.Gates)
	if len(c.Failed) == 0 {
		b.WriteString("No promise was broken.\n")
	} else {
		fmt.Fprintf(&b, "%d promises were broken:\n\n", len(c.Failed))
		for _, f := range c.Failed {
			fmt.Fprintf(&b, "- %s\n", f)
		}
	}
	b.WriteString("\n| what went wrong | times | plays in which this happened too |\n|---|---|---|\n")
	kinds := slices.Sorted(maps.Keys(c.Faults))
	for _, kind := range kinds {
		var with []string
		for _, other := range kinds {
			n := c.Pairs[kind+" + "+other] + c.Pairs[other+" + "+kind]
			if n > 0 {
				with = append(with, fmt.Sprintf("%s: %d", other, n))
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %s |\n", kind, c.Faults[kind], strings.Join(with, "; "))
	}
	b.WriteString("\n| row of the table | times |\n|---|---|\n")
	var written []string
	for _, row := range protocol.Table {
		if name := row.String(); c.Rows[name] > 0 && !slices.Contains(written, name) {
			written = append(written, name)
			fmt.Fprintf(&b, "| %s | %d |\n", name, c.Rows[name])
		}
	}
	b.WriteString("\nRows that no play reached:\n\n")
	for _, name := range c.NeverReached() {
		fmt.Fprintf(&b, "- %s\n", name)
	}
	return b.String()
}
