package tenants_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ours are the programs that work for a test, beside its own process.
var ours = []string{"postgres", "redis-server"}

// others measures, until it is called again, which share of the processors work that is
// none of the test's takes: 0 where there is none, 1 where it takes them all. Where there
// is no /proc it says 0.
func others(t testing.TB) (share func() float64) {
	busy, idle, own := processorTime(t)
	return func() float64 {
		busyNow, idleNow, ownNow := processorTime(t)
		all := busyNow - busy + idleNow - idle
		if all <= 0 {
			return 0
		}
		return max(0, (busyNow-busy)-(ownNow-own)) / all
	}
}

// processorTime returns how long the processors were busy and idle since the machine was
// started, and how much of that is ours, in ticks.
func processorTime(t testing.TB) (busy, idle, own float64) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0, 0, 0
	}
	all, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(all), "\n")
	for i, ticks := range numbers(strings.Fields(line)[1:]) {
		switch {
		case i == 3 || i == 4: // idle, and waiting for a disk
			idle += ticks
		case i < 8: // what guests use is in user already
			busy += ticks
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	self := strconv.Itoa(os.Getpid())
	for _, at := range processes {
		stat, err := os.ReadFile(at)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state ppid …: the 14th to 17th are the ticks of the process and of the
		// children it has waited for.
		head, rest, _ := strings.Cut(string(stat), ") ")
		pid, name, _ := strings.Cut(head, " (")
		if fields := strings.Fields(rest); len(fields) > 14 && (pid == self || slices.Contains(ours, name)) {
			for _, ticks := range numbers(fields[11:15]) {
				own += ticks
			}
		}
	}
	return busy, idle, own
}

func numbers(fields []string) []float64 {
	var all []float64
	for _, f := range fields {
		n, _ := strconv.ParseFloat(f, 64)
		all = append(all, n)
	}
	return all
}
