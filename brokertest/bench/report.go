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

// report collects what was measured.
type report struct{ rows []row }

// row is one figure: ours, the limit it is held against, and what was promised.
type row struct {
	what, ours, bare, ratio, target string
	judged, met                     bool
}

// The targets.
const (
	leastRatio  = 0.7
	mostRunning = 50 * time.Millisecond
	mostMemory  = 64 << 20
)

// tokens judges against same, the bare handler that reads the same row; least reads
// the credential alone, and shows what permission, provider and freshness cost.
func (r *report) tokens(ours, least, same figures, o options) {
	ratio := ours.perSecond / same.perSecond
	r.rows = append(r.rows,
		row{what: fmt.Sprintf("fresh token, %d callers, %d stored, against the same row", concurrency, o.authorizations),
			ours: perSecond(ours), bare: perSecond(same), ratio: fmt.Sprintf("%.2f", ratio),
			target: fmt.Sprintf("≥ %.2f", leastRatio), judged: true, met: ratio >= leastRatio},
		row{what: "– p50", ours: ms(ours.p50), bare: ms(same.p50), ratio: times(ours.p50, same.p50)},
		row{what: "– p99", ours: ms(ours.p99), bare: ms(same.p99), ratio: times(ours.p99, same.p99)},
		row{what: "– CPU time of the server", ours: us(ours.cpu), bare: us(same.cpu), ratio: times(ours.cpu, same.cpu)},
		row{what: "– against the credential alone", ours: perSecond(ours), bare: perSecond(least),
			ratio: fmt.Sprintf("%.2f", ours.perSecond/least.perSecond)},
		row{what: "– CPU time against that", ours: us(ours.cpu), bare: us(least.cpu), ratio: times(ours.cpu, least.cpu)},
	)
}

func (r *report) deletions(p50, p95 time.Duration, n int) {
	r.rows = append(r.rows,
		row{what: fmt.Sprintf("DELETE answered → RUNNING, p50 of %d", n), ours: ms(p50),
			target: "≤ " + ms(mostRunning), judged: true, met: p50 <= mostRunning},
		row{what: "– p95", ours: ms(p95)})
}

func (r *report) memory(started, idle int64, settle time.Duration) {
	r.rows = append(r.rows,
		row{what: fmt.Sprintf("memory of serve, idle for %s", settle), ours: mb(idle),
			target: "≤ " + mb(mostMemory), judged: true, met: idle <= mostMemory},
		row{what: "– just started", ours: mb(started)})
}

func perSecond(f figures) string { return fmt.Sprintf("%.0f/s", f.perSecond) }
func mb(bytes int64) string      { return fmt.Sprintf("%.1f MB", float64(bytes)/(1<<20)) }
func times(a, b time.Duration) string {
	return fmt.Sprintf("%.2f×", float64(a)/float64(b))
}

func us(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) }

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
	fmt.Fprintf(&b, `
- *The same row*: an Echo handler that reads the row grantd reads, authorization, provider and credential, on a pgx pool,
  opens the same ciphertext with Tink, and answers with the token: no caller, no policy, no check of freshness, no
  metrics, a short body. It is a process of its own with as many connections to PostgreSQL as grantd. Under the same %d
  kept connections all take turns, %d times %s each after a warm-up; throughput is the median of the turns, percentiles
  are of all answers.
- *The credential alone*: the same handler reads only the sealed credential and the ids it is bound to, by primary key.
  The difference is what permission, provider and freshness cost in PostgreSQL.
- The load is written by hand on plain connections: prepared bytes out, and of the answer only status and length read.
- *DELETE answered → RUNNING* is what a client sees that asks every millisecond, with one API and one worker process, for
  providers with one to five authorizations.
- *Memory* is VmRSS of a process on PostgreSQL and Redis.
`, concurrency, o.rounds, o.round)
	return b.String()
}
