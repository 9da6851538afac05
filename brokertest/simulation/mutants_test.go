package simulation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
)

// TestEveryMutantIsNoticed builds grantd once with all mutants in it, and plays seeds with
// each of them on, in processes side by side, until one breaks a promise.
func TestEveryMutantIsNoticed(t *testing.T) {
	if os.Getenv("GRANTD_MUTANT") != "" {
		t.Skip("this is a process of that test")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	overlay, err := writeOverlay(root, folder)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(folder, "mutants.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-c", "-overlay", overlay, "-o", binary, ".")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building grantd with its mutants: %v\n%s", err, said)
	}
	if os.Getenv("GRANTD_SIMULATE_ON") == "postgres" {
		everyMutant(t, binary, slices.Concat(mutants, mutantsOnPostgres), 0, "TestOnPostgres", "TestTheSameMoves")
		return
	}
	everyMutant(t, binary, mutants, 0, "Test[RD]", "TestEverySeed")
	t.Run("on PostgreSQL", func(t *testing.T) {
		brokertest.Servers.URLs(t) // or it is skipped
		everyMutant(t, binary, mutantsOnPostgres, len(mutants), "TestOnPostgres")
	})
}

// everyMutant has kinds of tests notice mutants, which are numbered from before + 1.
func everyMutant(t *testing.T, binary string, some []mutant, before int, kinds ...string) {
	t.Helper()
	each := budget(t, 20*time.Second)
	places := make(chan struct{}, 2)
	var plays sync.WaitGroup
	for i, m := range some {
		i += before
		if only := os.Getenv("GRANTD_ONLY_MUTANT"); only != "" && only != strconv.Itoa(i+1) {
			continue
		}
		if m.slow != "" && os.Getenv("GRANTD_SIMULATE") == "" {
			continue
		}
		plays.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			began := time.Now()
			by, err := noticed(t.Context(), binary, kinds, i+1, m, each)
			switch {
			case err != nil:
				t.Errorf("mutant %d, %s: %v", i+1, m.name, err)
			case by == "":
				t.Errorf("mutant %d was not noticed within %s: %s", i+1, each, m.name)
			default:
				t.Logf("mutant %2d, %.1f s: %s: %s", i+1, time.Since(began).Seconds(), m.name, by)
			}
		})
	}
	plays.Wait()
}

// noticed plays with a mutant on, and returns which promise it broke, or which scripted play
// went another way; "" for none.
func noticed(ctx context.Context, binary string, kinds []string, number int, m mutant, each time.Duration) (string, error) {
	for _, tests := range kinds {
		by, err := playedBy(ctx, binary, tests, number, m, each)
		if by != "" || err != nil {
			return by, err
		}
	}
	return "", nil
}

func playedBy(ctx context.Context, binary, tests string, number int, m mutant, each time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*each+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run", tests, "-test.v", "-test.failfast")
	cmd.Env = append(os.Environ(), "GRANTD_MUTANT="+strconv.Itoa(number), "GRANTD_MUTANT_SEED="+strconv.FormatUint(m.seed, 10),
		"GRANTD_SIMULATE="+each.String(), "GRANTD_SEED=")
	said, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case err == nil:
		return "", nil
	case !errors.As(err, &failed):
		return "", err
	}
	for line := range strings.Lines(string(said)) {
		_, broken, ok := strings.Cut(line, ".go:")
		if _, what, told := strings.Cut(broken, ": "); ok && told && !strings.Contains(what, "seeds, ") && !strings.Contains(what, " operations in ") {
			return strings.TrimSpace(what), nil
		}
	}
	return "", fmt.Errorf("it failed without a broken promise:\n%s", tail(string(said)))
}

func tail(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[:min(len(lines), 40)], "\n")
}
