package main

import (
	"flag"
	"runtime"
	"strconv"
	"testing"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/brokertest/services"
)

func TestMain(m *testing.M) {
	// Rows wait for leases most of the time: as many at once as there are processors
	// would leave the machine idle, and many more would leave none of them enough of
	// it. What the command line says wins.
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	services.Main(m)
}

// TestFaults plays every row, smaller than the command does.
func TestFaults(t *testing.T) {
	services.Shared(t)
	binary, err := processes.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			got := r.on(t, binary, false)
			t.Logf("%s: recovered after %.1f s; %s", r.what, got.recovered.Seconds(), got.note)
			if got.lost != 0 || got.spent != 0 {
				t.Errorf("%s: lost %d, spent twice %d", r.what, got.lost, got.spent)
			}
		})
	}
}
