package main

import (
	"testing"
	"time"
)

func TestForeignCPUIsWhatTheMachineUsedWithoutOurTrees(t *testing.T) {
	all, busy := machineTimes("cpu  100 20 30 800 40 5 6 7 90 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
	if all != 1008 || busy != 168 {
		t.Errorf("the machine had %d and used %d, want 1008 and 168", all, busy)
	}
	p, ok := parseProcess("42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5")
	if !ok || p != (process{"a (b) c", 7, 100}) {
		t.Errorf("read %+v", p)
	}
	// 10 is ours, with a child and its child; 20 began as the last, and 30 is nobody's child.
	ours := timesOfTrees(map[int]process{1: {"init", 0, 1000}, 10: {"bench", 1, 1}, 11: {"api", 10, 2}, 12: {"go", 11, 4}, 20: {"other", 1, 100}, 30: {"orphan", 29, 100}}, []int{10})
	if ours != 7 {
		t.Errorf("our trees used %d, want 7", ours)
	}
	before := cpuTimes{all: 1000, busy: 500, ours: 100}
	if got := (cpuTimes{all: 1200, busy: 600, ours: 170}).foreignSince(before); got != 0.15 {
		t.Errorf("others used %v, want 0.15", got)
	}
}

func TestCollectionsAreReadFromTheLog(t *testing.T) {
	var c collections
	c.add(`{"msg":"grantd is listening"}
gc 1 @0.012s 4%: 0.50+1.3+0.25 ms clock, 1.0+0.3/1.2/0+0.5 ms cpu, 4->5->2 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P
gc 2 @0.512s 1%: 0.010+9.9+0.020 ms clock, 0.02+0.3/1.2/0+0.04 ms cpu, 4->5->2 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)
`)
	if want := (collections{2, 750 * time.Microsecond, 780 * time.Microsecond}); c != want {
		t.Errorf("read %+v, want %+v", c, want)
	}
}

func TestTimesAreNotJudgedWhereOthersWereBusy(t *testing.T) {
	for foreign, want := range map[float64][]string{0.05: {"NO", "NO", "yes"}, 0.1: {"not judged", "not judged", "yes"}} {
		var r report
		r.add(row{what: "before"}.within(2*time.Second, time.Second))
		from := len(r.rows)
		r.add(row{}.within(2*time.Second, time.Second), row{}.uses(time.Second, time.Second, mostIdle), row{}.atLeast(2, 1))
		r.under(conditions{foreign: foreign}, from)
		for i, w := range r.rows[from:] {
			if got := w.cells()[5]; got != want[i] {
				t.Errorf("with %s of others, row %d says %q, want %q", percent(foreign), i, got, want[i])
			}
		}
		if got := r.rows[0].cells()[5]; got != "NO" {
			t.Errorf("a row of a part before says %q", got)
		}
	}
}
