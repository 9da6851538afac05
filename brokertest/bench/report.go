package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// The targets.
const (
	leastRatio   = 0.85 // of the bare handler's throughput
	mostTail     = 2.0  // times its 99th percentile
	leastCrowded = 0.9  // of the throughput with few authorizations stored

	leastOfIdeal = 0.9 // of the speed at which every slot always waits for the upstream
	leastOfTwo   = 1.8 // times the speed of one worker

	mostRunning   = 25 * time.Millisecond // the median
	mostRunning95 = 60 * time.Millisecond
	mostWaiting   = 150 * time.Millisecond // longer than the upstream takes

	mostMemory = 50 << 20
	mostGrowth = 32 << 20

	mostFarPage = 1.2 // times the first page
	mostAsking  = 2.0 // times the answer for a provider with one authorization
)

// report collects what was measured.
type report struct {
	rows         []row
	missedTokens bool
	profile      string // where the time of a token fetch goes
}

func (r *report) add(rows ...row) { r.rows = append(r.rows, rows...) }

// row is one figure: ours, the limit it is held against, and what was promised.
type row struct {
	what, ours, bare, ratio, target string
	judged, met                     bool
}

func (w row) judge(target string, met bool) row {
	w.target, w.judged, w.met = target, true, met
	return w
}

// compared says how many times the other one ours is, and does not judge it.
func (w row) compared(ratio float64) row {
	w.ratio = fmt.Sprintf("%.2f", ratio)
	return w
}

func (w row) atLeast(ratio, target float64) row {
	return w.compared(ratio).judge(fmt.Sprintf("≥ %.2f", target), ratio >= target)
}

func (w row) atMost(ratio, target float64) row {
	return w.compared(ratio).judge(fmt.Sprintf("≤ %.2f", target), ratio <= target)
}

func (w row) within(d, limit time.Duration) row {
	w.ours = ms(d)
	return w.judge("≤ "+ms(limit), d <= limit)
}

func (w row) fits(bytes, limit int64) row {
	w.ours = mb(bytes)
	return w.judge("≤ "+mb(limit), bytes <= limit)
}

func perSecond(f figures) string { return fmt.Sprintf("%.0f/s", f.perSecond) }
func mb(bytes int64) string      { return fmt.Sprintf("%.1f MB", float64(bytes)/(1<<20)) }
func us(d time.Duration) string  { return fmt.Sprintf("%d µs", d.Microseconds()) }

func ms(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// cells are a row as it is printed.
func (r row) cells() []string {
	met := ""
	if r.judged {
		met = map[bool]string{true: "yes", false: "NO"}[r.met]
	}
	return []string{r.what, r.ours, r.bare, r.ratio, r.target, met}
}

var head = []string{"what", "ours", "bare", "ratio", "target", "met?"}

// finish prints the table, writes it where that was asked for, and fails when a
// target was missed and must not be.
func (r *report) finish(o options, out io.Writer) error {
	if len(r.rows) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\n"+strings.Join(head, "\t"))
	for _, row := range r.rows {
		fmt.Fprintln(table, strings.Join(row.cells(), "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if o.write != "" {
		if err := os.WriteFile(o.write, []byte(r.markdown(o)), 0o644); err != nil {
			return err
		}
	}
	if o.strict && r.missed() {
		return errors.New("a target was missed")
	}
	return nil
}

func (r *report) missed() bool {
	for _, row := range r.rows {
		if row.judged && !row.met {
			return true
		}
	}
	return false
}

func (r *report) markdown(o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

Written by %s on %s: %s. Server, database and load share that machine, so the
figures say how grantd compares with the bare limit in the same run, and not how fast it is on yours.

`, "`make bench`", time.Now().UTC().Format(time.DateOnly), machine())
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line([]string{"---", "--:", "--:", "--:", "--:", "---"})
	for _, row := range r.rows {
		line(row.cells())
	}
	fmt.Fprintf(&b, notes, concurrency, o.rounds, o.round, o.wide)
	if r.profile != "" {
		fmt.Fprintf(&b, "\n## Where the processor's time of a token fetch goes\n\n```\n%s```\n", r.profile)
	}
	return b.String()
}

const notes = `
- *Memory* is VmRSS of a process on PostgreSQL and Redis.
- *The same row*: an Echo handler that reads the row grantd reads, authorization, provider and credential, on a pgx pool,
  opens the same ciphertext with Tink, and answers with the token: no caller, no policy, no check of freshness, no
  metrics, a short body. It is a process of its own with as many connections to PostgreSQL as grantd. Under the same %d
  kept connections all take turns, %d times %s each after a warm-up; throughput is the median of the turns, a ratio the
  median of what the two have in the same round, percentiles are of all answers.
- *The credential alone*: the same handler reads only the sealed credential and the ids it is bound to, by primary key.
  The difference is what permission, provider and freshness cost in PostgreSQL.
- *Stored*: rows like those of a real consent, each sealed to its own owner, written into the tables; of those fetched,
  as many as are stored in the small database, from all over the table. *%d different ones* shows what the counting of
  fetches and the caches of PostgreSQL (shared_buffers 64 MB) make of it when nearly every call is for another one.
- The load is written by hand on plain connections: prepared bytes out, and of the answer only status and length read.
- *Pages* take turns on one connection.
- *DELETE of a provider* is undone in SQL each time, and asked again; nobody works on it. The last one is worked on.
- *DELETE answered → RUNNING* is what a client sees that asks every millisecond, with one API and one worker process, for
  providers with one to five authorizations.
- *Revocations*: from the answer to DELETE to the job's end as a client sees it. *2 × 32 in flight* is two worker
  processes with GRANTD_REVOKE_CONCURRENCY=32, its default. What they are held against is the time that the upstream
  needs if every slot always waits for it. The upstream, worker, PostgreSQL and Redis share the machine.
- *Refreshes*: the callers are spread over the processes, all connections are open, and all ask at once; the upstream
  takes its time for the refresh. The slowest caller is timed from the first request.
`
