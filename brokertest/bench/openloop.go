package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// openLoop sends requests at their times, whether or not those before were answered, and counts from when each was to be
// sent: what waits for a connection, or for us, counts as well. A closed loop asks less often when answers are late, and so
// leaves out just those that would have waited longest.
type openLoop struct {
	name      string // of its histogram's file
	base      string
	perSecond float64
	most      int // connections at once
	requests  [][]byte

	slots chan struct{} // for a connection each
	mu    sync.Mutex
	idle  []*callers // of one connection each
	sent  int
	good  int
	took  *hdrhistogram.Histogram // in microseconds
}

// openPatience is how long an answer may take to count. What is not answered counts as that long.
const openPatience = 10 * time.Second

// together runs several loops for a while, and then waits for their answers.
func together(ctx context.Context, d time.Duration, loops ...*openLoop) error {
	var all sync.WaitGroup
	for _, l := range loops {
		all.Go(func() { l.run(ctx, d) })
	}
	all.Wait()
	return ctx.Err()
}

// run counts this time only. Connections are kept for the next one.
func (l *openLoop) run(ctx context.Context, d time.Duration) {
	l.sent, l.good = 0, 0
	l.took = hdrhistogram.New(1, (2 * openPatience).Microseconds(), 3)
	if l.slots == nil {
		l.slots = make(chan struct{}, l.most)
	}
	var all sync.WaitGroup
	begin := time.Now()
	for n := range int(d.Seconds() * l.perSecond) {
		at := begin.Add(time.Duration(float64(n) / l.perSecond * float64(time.Second)))
		time.Sleep(time.Until(at))
		if ctx.Err() != nil {
			break
		}
		l.sent++
		all.Go(func() { l.send(ctx, l.requests[n%len(l.requests)], at) })
	}
	all.Wait()
}

func (l *openLoop) send(ctx context.Context, request []byte, at time.Time) {
	l.slots <- struct{}{}
	defer func() { <-l.slots }()
	c, err := l.connection(ctx)
	if err == nil {
		err = c.conns[0].SetDeadline(at.Add(openPatience))
	}
	if err == nil {
		err = c.conns[0].exchange(request)
	}
	took := time.Since(at)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if c != nil { // what is left of the answer is still to be read
			c.close()
		}
		l.record(openPatience)
		return
	}
	l.idle, l.good = append(l.idle, c), l.good+1
	l.record(took)
}

func (l *openLoop) record(took time.Duration) {
	_ = l.took.RecordValue(min(took, 2*openPatience).Microseconds()) // all that it can be given is in its range
}

// connection is the one that was used last, or a new one.
func (l *openLoop) connection(ctx context.Context) (*callers, error) {
	l.mu.Lock()
	if n := len(l.idle); n > 0 {
		c := l.idle[n-1]
		l.idle = l.idle[:n-1]
		l.mu.Unlock()
		return c, nil
	}
	l.mu.Unlock()
	return newCallers(ctx, 1, l.base, nil)
}

// close ends its connections.
func (l *openLoop) close() {
	for _, c := range l.idle {
		c.close()
	}
	l.idle = nil
}

// answers are how many of the requests were answered with a token, and how fast all were.
type answers struct {
	share               float64 // of those sent
	p50, p99, p999, max time.Duration
}

func (a answers) String() string {
	return fmt.Sprintf("%s answered, p50 %s, p99 %s, p99.9 %s, at most %s", percent(a.share), ms(a.p50), ms(a.p99), ms(a.p999), ms(a.max))
}

// summary is of the last run.
func (l *openLoop) summary() answers {
	at := func(percentile float64) time.Duration {
		return time.Duration(l.took.ValueAtPercentile(percentile)) * time.Microsecond
	}
	return answers{float64(l.good) / float64(max(1, l.sent)), at(50), at(99), at(99.9), time.Duration(l.took.Max()) * time.Microsecond}
}

// keep writes the histogram of the last run into a folder, as HdrHistogram prints percentiles, in milliseconds.
func (l *openLoop) keep(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(folder, l.file()))
	if err != nil {
		return err
	}
	if _, err := l.took.PercentilesPrint(f, 5, 1000); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func (l *openLoop) file() string { return l.name + ".hgrm" }

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// openConnections are as many as the most callers of the closed loop.
const openConnections = 256

// openParts has contenders answer the same load one after the other, at 50, 70 and 90 % of a capacity in requests per second.
// All are compared with the first.
func (b *bench) openParts(ctx context.Context, r *report, capacity float64, name, about string, all ...*contender) error {
	for _, part := range []int{50, 70, 90} {
		load := fmt.Sprintf("%s, %d %% of grantd's capacity", about, part)
		if err := b.openAt(ctx, r, capacity*float64(part)/100, fmt.Sprintf("%s-%d", name, part), load, all); err != nil {
			return err
		}
	}
	return nil
}

// openAtMost does so at 70 % of what the slowest of them did in the closed loop.
func (b *bench) openAtMost(ctx context.Context, r *report, name, about string, all ...*contender) error {
	return b.openAt(ctx, r, 0.7*slowest(all, b.round), name, about+", 70 % of the slowest one's capacity", all)
}

// openAt warms each of them up for a second, or less.
func (b *bench) openAt(ctx context.Context, r *report, perSecond float64, name, load string, all []*contender) error {
	var first *openLoop
	for i, c := range all {
		l := &openLoop{name: name + "-" + c.short, base: c.base, perSecond: perSecond, most: openConnections, requests: c.requests}
		l.run(ctx, min(time.Second, b.openFor))
		l.run(ctx, b.openFor)
		l.close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if i == 0 {
			first = l
		}
		b.progress("  %.0f/s, %s: %s", perSecond, c.name, l.summary())
		r.opened(c.name+", "+load, l, first)
	}
	return nil
}

// openRow is an open loop as it is told.
type openRow struct {
	what    string
	loop    *openLoop
	against *openLoop // nil, or itself, for none
}

// opened tells of an open loop, and how it compares with another under the same load.
func (r *report) opened(what string, l, against *openLoop) {
	r.open = append(r.open, openRow{what, l, against})
}

var openHead = []string{"asked at fixed times", "per second", "answered", "p50", "p99", "p99.9", "max", "p50, p99: ratio"}

func (w openRow) cells() []string {
	a := w.loop.summary()
	ratios := ""
	if w.against != nil && w.against != w.loop {
		other := w.against.summary()
		ratios = fmt.Sprintf("%.2f, %.2f", ratio(a.p50, max(1, other.p50)), ratio(a.p99, max(1, other.p99)))
	}
	return []string{w.what, fmt.Sprintf("%.0f", w.loop.perSecond), percent(a.share), ms(a.p50), ms(a.p99), ms(a.p999), ms(a.max), ratios}
}
