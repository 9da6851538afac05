package jobs

import (
	"testing"
	"testing/synctest"
	"time"
)

func newPace(t *testing.T, r *Redis) *Pace {
	t.Helper()
	p := NewPace(r)
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

// drain takes in small portions until nothing is granted.
func drain(t *testing.T, p *Pace, key string, perHour, want int) (got int, wait time.Duration) {
	t.Helper()
	for {
		n, w, _ := p.Take(t.Context(), key, perHour, want)
		if n > want || n > 0 && w > 0 || n == 0 && w <= 0 {
			t.Fatalf("asked for %d: %d and %s", want, n, w)
		}
		if n == 0 {
			return got, w
		}
		got += n
	}
}

// The figures are such that nothing is earned again while a test runs.
const (
	hourly = 50 // ten at once, then one each 90 s
	atOnce = 10
)

func TestS3_ProcessesShareABudget(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		one, two := newPace(t, r), newPace(t, r)
		if n, wait, _ := one.Take(t.Context(), "host", hourly, 4); n != 4 || wait != 0 {
			t.Fatalf("a full bucket grants %d of 4 and %s", n, wait)
		}
		n, wait := drain(t, two, "host", hourly, 3)
		if n != atOnce-4 {
			t.Errorf("another process got %d, want the rest", n)
		}
		if every := 90 * time.Second; wait > every+time.Minute {
			t.Errorf("it is to wait %s, with %s between two calls", wait, every)
		}
		if n, _, _ := one.Take(t.Context(), "host", hourly, 1); n != 0 {
			t.Error("the first one got more")
		}
		if n, _, _ := one.Take(t.Context(), "another", hourly, 1); n != 1 {
			t.Error("another host has to wait too")
		}
	})
}

func TestS3_AskingTakesNothing(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		p := newPace(t, r)
		for range atOnce + 1 {
			if n, wait, _ := p.Take(t.Context(), "host", hourly, 0); n != 0 || wait != 0 {
				t.Fatalf("asking a full bucket: %d and %s", n, wait)
			}
		}
		if n, _ := drain(t, p, "host", hourly, atOnce); n != atOnce {
			t.Errorf("after asking, %d are left", n)
		}
		if _, wait, _ := p.Take(t.Context(), "host", hourly, 0); wait <= 0 {
			t.Error("an empty bucket has no wait")
		}
	})
}

// Calls that people wait for do not ask, and may overdraw the bucket.
func TestS3_CallsThatDoNotAskCount(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		p := newPace(t, r)
		p.Count(t.Context(), "host", hourly, atOnce+2)
		if n, wait, _ := p.Take(t.Context(), "host", hourly, 1); n != 0 || wait < 2*time.Minute {
			t.Errorf("overdrawn by two, it grants %d or has one wait %s", n, wait)
		}
		p.Count(t.Context(), "host", hourly, -5) // what was granted, and not needed
		if n, _ := drain(t, p, "host", hourly, 1); n != 3 {
			t.Errorf("after five were given back it grants %d, want 3", n)
		}
	})
}

func TestS3_WhatIsGivenBackIsGrantedAgain(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		p := newPace(t, r)
		for back := 1; back <= atOnce; back++ {
			if got, _ := drain(t, p, "host", hourly, atOnce); got < back-1 {
				t.Fatalf("%d of the %d given back were granted again", got, back-1)
			}
			p.Count(t.Context(), "host", hourly, -back)
		}
		if got, _ := drain(t, p, "host", hourly, atOnce); got != atOnce {
			t.Errorf("a bucket whose calls were all given back grants %d, want %d", got, atOnce)
		}
		p.Count(t.Context(), "another", hourly, -5)
		if got, _ := drain(t, p, "another", hourly, 2*atOnce); got != atOnce {
			t.Errorf("a bucket that was full grants %d after 5 were given back, want %d", got, atOnce)
		}
	})
}

func TestS3_WithoutRedisAQuarter(t *testing.T) {
	t.Parallel()
	for name, dial := range away {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := NewPace(&Redis{options: redisOptions(dial)})
				began := time.Now()
				if n, wait, _ := p.Take(t.Context(), "host", 4*hourly, 100); n != atOnce || wait != 0 {
					t.Errorf("granted %d and %s, want what a quarter gives at once", n, wait)
				}
				if took := time.Since(began); took > ringTimeout {
					t.Errorf("took %s", took)
				}
				if n, wait, _ := p.Take(t.Context(), "host", 4*hourly, 1); n != 0 || wait > 90*time.Second {
					t.Errorf("then granted %d and %s", n, wait)
				}
				must(t, p.Close())
				time.Sleep(time.Minute) // go-redis notices that after some seconds
			})
		})
	}
}

// Whatever the rhythm of asking, no hour sees more calls than there are to share.
func TestS3_NoHourSeesMoreThanTheBudget(t *testing.T) {
	t.Parallel()
	for _, perHour := range []int{4, 40, 10_000} {
		synctest.Test(t, func(t *testing.T) {
			p, total := NewPace(nil), 0
			for end := time.Now().Add(time.Hour); time.Now().Before(end); {
				n, wait, _ := p.Take(t.Context(), "host", perHour, 32)
				total += n
				time.Sleep(max(wait, time.Millisecond))
			}
			if quarter := perHour / 4; total > max(2, quarter) || total < quarter*8/10 {
				t.Errorf("%d an hour: a process by itself took %d, want at most %d and not much less", perHour, total, quarter)
			}
		})
	}
}

func TestS3_AnEmptiedRedisStartsAnew(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		p := newPace(t, r)
		drain(t, p, "host", hourly, atOnce)
		must(t, r.probe.FlushDB(t.Context()).Err()) // its scripts stay, its buckets are full again
		if n, _, _ := p.Take(t.Context(), "host", hourly, 1); n != 1 {
			t.Error("an emptied Redis grants nothing")
		}
		must(t, r.probe.ScriptFlush(t.Context()).Err())
		if n, _ := drain(t, p, "host", hourly, atOnce); n != atOnce-1 {
			t.Errorf("after a restart it grants %d", n)
		}
	})
}
