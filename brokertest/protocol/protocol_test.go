package protocol

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// write says whether the generated texts are written instead of compared: go generate.
var write = os.Getenv("GRANTD_WRITE") != ""

const (
	modelFile = "protocol.pml"
	page      = "../../docs/architecture.md"
	begins    = "<!-- The table of brokertest/protocol, by go generate ./brokertest/protocol. -->\n"
	ends      = "<!-- The end of the table. -->\n"
)

func TestTheModelAndThePageAreThoseOfTheTable(t *testing.T) {
	if _, err := compile(Table); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begins)
	shown, after, ok2 := strings.Cut(rest, ends)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table, between %q and %q", page, begins, ends)
	}
	if write {
		if err := errors.Join(os.WriteFile(modelFile, []byte(Model()), 0o600), os.WriteFile(page, []byte(before+begins+"\n"+Page()+"\n"+ends+after), 0o600)); err != nil {
			t.Fatal(err)
		}
		return
	}
	file, err := os.ReadFile(modelFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(file) != Model() {
		t.Errorf("%s is not what the table says; go generate ./brokertest/protocol writes it", modelFile)
	}
	if strings.TrimSpace(shown) != strings.TrimSpace(Page()) {
		t.Errorf("%s does not show the table; go generate ./brokertest/protocol writes it", page)
	}
}

// spin skips where there is no Spin, unless what tests need must be there.
func spin(t *testing.T) {
	t.Helper()
	for _, program := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("GRANTD_TEST_REQUIRE_SERVICES") != "" {
				t.Fatal(err)
			}
			t.Skip("exploring the model needs Debian's packages spin and gcc: ", err)
		}
	}
}

// explored is what Spin finds in a model: "" for nothing, else which promise is broken.
func explored(t *testing.T, text string) (found string, states string, err error) {
	t.Helper()
	folder := t.TempDir()
	run := func(name string, args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), name, args...)
		c.Dir = folder
		said, err := c.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%s: %w\n%s", name, err, said)
		}
		return string(said), err
	}
	if err := os.WriteFile(filepath.Join(folder, modelFile), []byte(text), 0o600); err != nil {
		return "", "", err
	}
	if _, err := run("spin", "-a", modelFile); err != nil {
		return "", "", err
	}
	// Every step is one that others see, so that reducing their orders would only cost time.
	if _, err := run("gcc", "-O1", "-w", "-DSAFETY", "-DNOREDUCE", "-DMEMLIM=1500", "-o", "pan", "pan.c"); err != nil {
		return "", "", err
	}
	said, err := run("./pan", "-E", "-m1000", "-w21")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(said) {
		if strings.Contains(line, "states, stored") {
			states = strings.Fields(line)[0]
		}
		if strings.HasPrefix(line, "pan:") && strings.Contains(line, "assertion violated") {
			found = strings.TrimSpace(line)
		}
	}
	if found == "" && (!strings.Contains(said, "errors: 0") || strings.Contains(said, "not completed") || strings.Contains(said, "too small")) {
		return "", states, fmt.Errorf("Spin did not come to an end:\n%s", said)
	}
	return found, states, nil
}

// TestSpinFindsNothingInTheTable explores every interleaving of two processes that refresh and
// two that revoke, a consent, a check, a disconnect and a deletion, with a replica that is
// killed and an answer that is lost.
func TestSpinFindsNothingInTheTable(t *testing.T) {
	t.Parallel()
	spin(t)
	found, states, err := explored(t, Model())
	if err != nil {
		t.Fatal(err)
	}
	if found != "" {
		t.Errorf("the table breaks a promise: %s", found)
	}
	t.Logf("%s states", states)
}

// mutants are rows that lack something, how often what is bounded may happen until Spin finds
// that, and what the promise that it finds broken is about.
var mutants = []struct {
	name   string
	part   Part
	event  Event
	guard  func(string) string
	effect func(string) string
	scope  []int
	broken string
}{
	{"a refresh does not wait for the lease of another", Refreshing, TakesLease, without(" && !running"), nil, []int{2, 0, 0, 0, 0}, "calls["},
	{"a lease runs out during its call", Any, LeaseRunsOut, without(" && !my.calling"), nil, []int{2, 0, 0, 0, 0}, "calls["},
	{"a save keeps the old refresh token", Refreshing, SavesTokens, nil, without("tok = my.got; "), []int{2, 0, 0, 0, 0}, "my_stale["},
	{"a save is not fenced by the generation", Refreshing, SavesTokens, without(" && gen == my.gen"), nil, []int{1, 1, 1, 0, 0}, "received["},
	{"a verdict is not fenced", Refreshing, SavesVerdict, without(" && gen == my.gen && attempt == me"), nil, []int{2, 0, 1, 1, 0}, "expired"},
	{"tokens that a consent replaces are forgotten", Consenting, ConsentReplaces, nil, without("left[tok] = 1; lefts = lefts + 1; "), []int{0, 1, 1, 0, 0}, "received["},
	{"an outcome is written by a process that has lost its claim", Revoking, Settles, without("item == TO_REVOKE && claim == me && !gone && "), nil, []int{0, 2, 0, 0, 0}, "outcomes"},
	{"a deletion does not wait for consents", Deleting, DeletionCompletes, without(" && codes == 0"), nil, []int{0, 1, 1, 0, 0}, "received["},
	{"a deletion does not wait for its items", Deleting, DeletionCompletes, without(" && item == SETTLED"), nil, []int{0, 1, 0, 0, 0}, "received["},
}

func without(part string) func(string) string {
	return func(text string) string {
		if strings.Count(text, part) != 1 {
			panic(fmt.Sprintf("%q must be in %q once", part, text))
		}
		return strings.Replace(text, part, "", 1)
	}
}

// TestSpinFindsMutatedTables shows that the exploration would notice.
func TestSpinFindsMutatedTables(t *testing.T) {
	t.Parallel()
	spin(t)
	places := make(chan struct{}, 2)
	var all sync.WaitGroup
	for _, m := range mutants {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			table := slices.Clone(Table)
			i := slices.IndexFunc(table, func(r Row) bool { return r.Part == m.part && r.Event == m.event })
			if m.guard != nil {
				table[i].Guard = m.guard(table[i].Guard)
			}
			if m.effect != nil {
				table[i].Effect = m.effect(table[i].Effect)
			}
			found, states, err := explored(t, model(table, [][]int{m.scope}))
			if err != nil {
				t.Error(err)
				return
			}
			if !strings.Contains(found, m.broken) {
				t.Errorf("Spin does not find that %s, but %q", m.name, found)
			}
			t.Logf("%s: %s, after %s states", m.name, found, states)
		})
	}
	all.Wait()
}
