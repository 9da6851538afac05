package simulation

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/grantd/grantd/brokertest/protocol"
	"github.com/grantd/grantd/brokertest/services"
)

func TestMain(m *testing.M) {
	services.Main(m, func() {
		if err := Close(); err != nil {
			fmt.Fprintln(os.Stderr, "closing the stage:", err)
			os.Exit(1)
		}
	})
}

// budget is how long a test plays: what GRANTD_SIMULATE says, or as long as every run of
// all tests can afford.
func budget(t *testing.T, least time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("GRANTD_SIMULATE")
	if text == "" {
		return least
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("GRANTD_SIMULATE must be a duration such as 10m: %v", err)
	}
	return d
}

// firstSeed is where playing begins: at GRANTD_SEED, to play one again, or at 1.
func firstSeed(t *testing.T) (seed uint64, alone bool) {
	t.Helper()
	text := os.Getenv("GRANTD_SEED")
	if text == "" {
		return 1, false
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("GRANTD_SEED must be a number: %v", err)
	}
	return seed, os.Getenv("GRANTD_SIMULATE") == "" && os.Getenv("GRANTD_SEEDS") == ""
}

// number is what a variable of the environment says, 0 where it says nothing.
func number(t *testing.T, variable string) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s must be a number: %v", variable, err)
	}
	return n
}

// TestASeedIsPlayedTheSameWayTwice is what makes a seed worth writing down.
func TestASeedIsPlayedTheSameWayTwice(t *testing.T) {
	if os.Getenv("GRANTD_MUTANT") != "" {
		t.Skip("a mutant need not be played twice")
	}
	s, until := NewStage(t), time.Now().Add(budget(t, 20*time.Second))
	played := 0
	for seed := uint64(1); played < 200 && (played < 10 || time.Now().Before(until)); seed++ {
		once, again := s.First(seed), s.Play(seed, Options{})
		if once.Log != again.Log {
			t.Fatalf("seed %d is played in two ways, which part here:\n%s", seed, parting(once.Log, again.Log))
		}
		played++
	}
	t.Logf("%d seeds were played twice", played)
}

// TestEveryImageIsTheSame: another process, which has an image of its own, plays a seed the same way.
func TestEveryImageIsTheSame(t *testing.T) {
	var images [2]string
	for i := range images {
		cryptotest.SetGlobalRandom(t, 0)
		path := filepath.Join(t.TempDir(), "image.db")
		newImage(t, path)
		s, err := share(path)
		if err != nil {
			t.Fatal(err)
		}
		rows, _, err := s.Raw().Prepare("SELECT ahead_after, refresh_after, expires_at FROM credentials ORDER BY id")
		for err == nil && rows.Step() {
			for column := range rows.ColumnCount() {
				images[i] += fmt.Sprintf("%s: %q\n", rows.ColumnName(column), rows.ColumnText(column))
			}
		}
		if err := errors.Join(err, rows.Err(), rows.Close(), s.close()); err != nil {
			t.Fatal(err)
		}
	}
	if images[0] == "" || images[0] != images[1] {
		t.Errorf("two images part here:\n%s", parting(images[0], images[1]))
	}
}

// TestEverySeedKeepsThePromises plays seeds for as long as it may. GRANTD_SEED=n plays one
// of them and tells its story. GRANTD_SEEDS=n plays so many, and GRANTD_PROCESSES=p divides them among p processes.
func TestEverySeedKeepsThePromises(t *testing.T) {
	seed, alone := firstSeed(t)
	seeds := number(t, "GRANTD_SEEDS")
	if processes := number(t, "GRANTD_PROCESSES"); processes > 1 {
		if err := playSideBySide(t, seed, seeds, processes, os.Getenv("GRANTD_COUNTS")); err != nil {
			t.Fatal(err)
		}
		return
	}
	least := 20 * time.Second
	if services.Required() {
		least = 90 * time.Second
	}
	s, until := NewStage(t), time.Now().Add(budget(t, least))
	mutant := os.Getenv("GRANTD_MUTANT") != "" // see TestEveryMutantIsNoticed
	if known, err := strconv.ParseUint(os.Getenv("GRANTD_MUTANT_SEED"), 10, 64); err == nil && known > 0 {
		for _, v := range s.Play(known, Options{}).Violations {
			t.Fatalf("seed %d: %s", known, v)
		}
	}
	played, failed := 0, 0
	total, began := NewCounts(seed), processorTime(t)
	kept := os.Getenv("GRANTD_COUNTS") // a long run writes what it met into this file, and goes on after a failure
	last := uint64(math.MaxUint64)
	if seeds > 0 {
		last, until = seed+seeds, time.Now().Add(math.MaxInt64)
	}
	for ; seed < last && (played < 10 || time.Now().Before(until)); seed++ {
		r := s.First(seed)
		if text := os.Getenv("GRANTD_ONLY"); alone && text != "" {
			only, err := split(text)
			if err != nil {
				t.Fatalf("GRANTD_ONLY must be such as 17:disconnect,25: %v", err)
			}
			r = s.Play(seed, Options{Only: only})
		}
		played++
		total.Add(r)
		if kept != "" && (played%100 == 0 || seed+1 == last || !time.Now().Before(until)) {
			total.Seconds = (processorTime(t) - began).Seconds()
			if err := total.Save(kept); err != nil {
				t.Fatal(err)
			}
		}
		for _, v := range r.Violations {
			t.Errorf("seed %d: %s", seed, v)
		}
		if mutant && len(r.Violations) > 0 {
			return
		}
		if alone && len(r.Violations) > 0 && os.Getenv("GRANTD_ONLY") == "" {
			t.Log(s.told(r))
		}
		if alone {
			t.Logf("The story of seed %d:\n%s", seed, r.Log)
			return
		}
		if len(r.Violations) > 0 {
			if failed++; failed == 1 && kept == "" {
				t.Log(s.told(r))
			}
		}
		if failed == 10 && kept == "" {
			break
		}
	}
	t.Logf("%d seeds, %d gates passed", played, total.Gates)
	for _, row := range total.NeverReached() {
		t.Logf("never reached: %s", row)
	}
	for _, table := range []map[string]int{total.Faults, total.Moves, total.Rows} {
		for _, name := range slices.Sorted(maps.Keys(table)) {
			t.Logf("%7d  %s", table[name], name)
		}
	}
}

// playSideBySide plays seeds in several processes, each its part of them, and writes what all of them met into the file
// kept, if there is one.
func playSideBySide(t *testing.T, from, seeds, processes uint64, kept string) error {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var plays sync.WaitGroup
	var parts []string
	for i := range processes {
		begins, ends := from+seeds*i/processes, from+seeds*(i+1)/processes
		part := filepath.Join(t.TempDir(), "counts.json")
		parts = append(parts, part)
		c := exec.CommandContext(t.Context(), self, "-test.run", "^TestEverySeedKeepsThePromises$", "-test.timeout", "0")
		c.Env = append(os.Environ(), "GRANTD_PROCESSES=", fmt.Sprintf("GRANTD_SEED=%d", begins), fmt.Sprintf("GRANTD_SEEDS=%d", ends-begins), "GRANTD_COUNTS="+part)
		plays.Go(func() {
			if said, err := c.CombinedOutput(); err != nil {
				t.Errorf("the seeds %d to %d: %v\n%s", begins, ends-1, err, said)
			}
		})
	}
	plays.Wait()
	total, err := LoadCounts(parts[0])
	for _, part := range parts[1:] {
		var c *Counts
		if err == nil {
			c, err = LoadCounts(part)
		}
		if err == nil {
			err = total.Join(c)
		}
	}
	if err != nil {
		return err
	}
	t.Logf("%d seeds, %d gates passed", total.Seeds, total.Gates)
	if kept != "" {
		err = total.Save(kept)
	}
	return err
}

// TestCountsOfSeveralProcessesAreThoseOfOne plays the same seeds in both ways.
func TestCountsOfSeveralProcessesAreThoseOfOne(t *testing.T) {
	if os.Getenv("GRANTD_MUTANT") != "" {
		t.Skip("a mutant's seeds need not be counted")
	}
	s, one := NewStage(t), NewCounts(1)
	for seed := range uint64(5) {
		one.Add(s.First(seed + 1))
	}
	kept := filepath.Join(t.TempDir(), "counts.json")
	if err := playSideBySide(t, 1, 5, 2, kept); err != nil {
		t.Fatal(err)
	}
	several, err := LoadCounts(kept)
	if err != nil {
		t.Fatal(err)
	}
	several.Seconds = one.Seconds
	if fmt.Sprint(*several) != fmt.Sprint(*one) {
		t.Errorf("of two processes: %v\nof one: %v", *several, *one)
	}
	if err := several.Join(one); err == nil {
		t.Error("seeds that were counted are counted twice")
	}
}

// told minimises a play that broke a promise, and tells its story.
func (s *Stage) told(r Result) string {
	first := r.Violations[0].Invariant
	return Result.Told(s.Minimise(r.Seed, func(r Result) bool { return len(r.Violations) > 0 && r.Violations[0].Invariant == first }))
}

// TestASeedIsMinimised looks for the fewest moves and faults with which a process is killed after
// somebody disconnected.
func TestASeedIsMinimised(t *testing.T) {
	if os.Getenv("GRANTD_MUTANT") != "" {
		t.Skip("a mutant's seeds need not be minimised")
	}
	s := NewStage(t)
	happens := func(r Result) bool {
		_, after, disconnects := strings.Cut(r.Log, " disconnects, at replica")
		return disconnects && strings.Contains(after, " is killed\n")
	}
	seed := uint64(1)
	for !happens(s.First(seed)) {
		seed++
	}
	r, o := s.Minimise(seed, happens)
	if !happens(r) || len(r.Decisions) != 2 {
		t.Errorf("of %d moves and faults of seed %d these are left:\n%s", len(s.First(seed).Decisions), seed, r.Told(o))
	}
	if again := s.Play(seed, o); again.Log != r.Log {
		t.Errorf("what is left is played in two ways:\n%s", parting(r.Log, again.Log))
	}
	if read, err := split(join(o.Only)); err != nil || join(read) != join(o.Only) {
		t.Errorf("%v is read as %v: %v", o.Only, read, err)
	}
}

// TestTenPlaysAreReplayedInSpin has Spin take the steps of simulated authorizations by the
// table: it agrees with the Go code that held them to it as they happened. A log that lacks a
// step is not taken.
func TestTenPlaysAreReplayedInSpin(t *testing.T) {
	if os.Getenv("GRANTD_MUTANT") != "" {
		t.Skip("a mutant's log need not be replayed")
	}
	if _, err := exec.LookPath("spin"); err != nil {
		if os.Getenv("GRANTD_TEST_REQUIRE_SERVICES") != "" {
			t.Fatal(err)
		}
		t.Skip("replaying logs needs Debian's package spin: ", err)
	}
	s := NewStage(t)
	replayed := 0
	for seed := uint64(1); replayed < 10; seed++ {
		for _, log := range s.First(seed).Logs {
			if replayed == 10 || log.Steps() < 12 {
				continue
			}
			replayed++
			if err := inSpin(t, log.Replay()); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			if err := inSpin(t, withoutLine(log.Replay(), "\tatomic {")); err == nil {
				t.Errorf("seed %d: Spin takes a log that lacks a step", seed)
			}
		}
	}
}

// inSpin runs a replay. The error says where it ended.
func inSpin(t *testing.T, text string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log.pml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	c := exec.CommandContext(t.Context(), "spin", "-T", path)
	c.Dir = filepath.Dir(path)
	said, err := c.CombinedOutput()
	if err == nil && !strings.Contains(string(said), protocol.Replayed) {
		err = fmt.Errorf("the replay ended early:\n%s", said)
	}
	return err
}

// withoutLine leaves out the first line that begins so, and the line that goes on with it.
func withoutLine(text, begins string) string {
	before, rest, _ := strings.Cut(text, "\n"+begins)
	_, after, _ := strings.Cut(rest, ") }\n")
	return before + "\n" + after
}

// processorTime is how long the processors have worked for this process.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestTheProofSaysWhatTheLongRunMet holds docs/proof.md to the counts of the last long run:
// GRANTD_COUNTS=file make simulate SEEDS=100000 PROCESSES=2 makes them, and GRANTD_WRITE=1 writes the page.
func TestTheProofSaysWhatTheLongRunMet(t *testing.T) {
	c, err := LoadCounts("longrun.json")
	if err != nil {
		t.Fatal(err)
	}
	const path, from, to = "../../docs/proof.md", "<!-- long run: written by brokertest/simulation/counts.go -->\n", "<!-- end of the long run -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), from)
	_, after, ok2 := strings.Cut(rest, to)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the long run", path)
	}
	want := before + from + "\n" + c.Page() + "\n" + to + after
	if want == string(text) {
		return
	}
	if os.Getenv("GRANTD_WRITE") == "" {
		t.Fatalf("%s is not what the counts of the long run say: GRANTD_WRITE=1 writes it", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}
