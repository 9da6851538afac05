package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// The targets.
const (
	mostTail     = 0.7 // times the bare handler's 99th percentile
	leastCrowded = 0.9 // of the throughput with few authorizations stored

	leastOfBearer   = 0.9  // of the throughput with an API token
	leastOfExchange = 0.85 // of that of the token route

	leastOfIdeal = 0.9 // of the speed at which every slot always waits for the upstream
	leastOfTwo   = 1.8 // times the speed of one worker

	mostRunning   = 25 * time.Millisecond // the median
	mostRunning95 = 60 * time.Millisecond
	mostWaiting   = 150 * time.Millisecond // longer than the upstream takes

	mostMemory = 50 << 20
	mostGrowth = 32 << 20

	mostIdle = 0.01 // of a core

	mostFarPage   = 1.2 // times the first page
	mostFirstPage = 20 * time.Millisecond

	mostListed   = 20 * time.Millisecond
	mostCounting = 300 * time.Millisecond
	mostLeaving  = 50 * time.Millisecond
	mostSweeping = 5 * time.Millisecond

	mostAsking = 2.0 // times the answer for a provider with one authorization
)

var (
	// leastRatios are, by the number of callers, how many times the bare handler's throughput a token fetch has.
	leastRatios = map[int]float64{32: 1.6, 256: 2.1}
	// leastOnSQLite are the same, times that of the other binary.
	leastOnSQLite = map[int]float64{1: 1.9, 32: 3.3, 256: 3.8}
)

// report collects what was measured.
type report struct {
	rows     []row
	open     []openRow
	parts    []conditions
	load     float64 // of the machine, before anything was measured
	profiles []profile

	missedTokens, missedJWT, missedExchange, missedRefreshes bool
}

func (r *report) add(rows ...row) { r.rows = append(r.rows, rows...) }

// under says how it was while the rows from one on were measured. Times and shares of time are not judged when others used
// too much.
func (r *report) under(c conditions, from int) {
	r.parts = append(r.parts, c)
	for i := range r.rows[from:] {
		w := &r.rows[from+i]
		if c.busy() && w.absolute {
			w.judged, w.disturbed = false, true
		}
	}
}

// row is one figure: ours, the limit it is compared with, and what was promised.
type row struct {
	what, ours, bare, ratio, target string
	judged, met                     bool
	absolute                        bool // a target that a busy machine misses
	disturbed                       bool // and it was busy
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
	w.ours, w.absolute = ms(d), true
	return w.judge("≤ "+ms(limit), d <= limit)
}

func (w row) fits(bytes, limit int64) row {
	w.ours = mb(bytes)
	return w.judge("≤ "+mb(limit), bytes <= limit)
}

// share says how much of one core was used.
func (w row) share(used, during time.Duration) row {
	w.ours = fmt.Sprintf("%.2f %%", 100*used.Seconds()/during.Seconds())
	return w
}

func (w row) uses(cpu, during time.Duration, limit float64) row {
	w.absolute = true
	return w.share(cpu, during).judge(fmt.Sprintf("≤ %.0f %%", 100*limit), cpu.Seconds() <= limit*during.Seconds())
}

func perSecond(f figures) string { return fmt.Sprintf("%.0f/s", f.perSecond) }
func mb(bytes int64) string      { return fmt.Sprintf("%.1f MB", float64(bytes)/(1<<20)) }
func us(d time.Duration) string  { return fmt.Sprintf("%d µs", d.Microseconds()) }

func ms(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// cells are a row as it is printed.
func (w row) cells() []string {
	met := ""
	if w.judged {
		met = map[bool]string{true: "yes", false: "NO"}[w.met]
	}
	if w.disturbed {
		met = "not judged"
	}
	return []string{w.what, w.ours, w.bare, w.ratio, w.target, met}
}

var head = []string{"what", "ours", "against", "ratio", "target", "met?"}

// table is one as it is printed. Its columns are numbers but for the first.
type table struct {
	head []string
	rows [][]string
}

// tables are what was judged, the open loops, and how it was meanwhile.
func (r *report) tables() []table {
	all := []table{{head: head}, {head: openHead}, {head: conditionsHead}}
	for _, row := range r.rows {
		all[0].rows = append(all[0].rows, row.cells())
	}
	for _, row := range r.open {
		all[1].rows = append(all[1].rows, row.cells())
	}
	for _, c := range r.parts {
		all[2].rows = append(all[2].rows, c.cells())
	}
	return slices.DeleteFunc(all, func(t table) bool { return len(t.rows) == 0 })
}

// finish prints the tables, keeps the histograms, writes it where that was asked for, and fails when a
// target was missed and must not be.
func (r *report) finish(o options, out io.Writer) error {
	if len(r.rows) == 0 {
		return nil
	}
	for _, t := range r.tables() {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "\n"+strings.Join(t.head, "\t"))
		for _, cells := range t.rows {
			fmt.Fprintln(table, strings.Join(cells, "\t"))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if o.histograms != "" {
		for _, row := range r.open {
			if err := row.loop.keep(o.histograms); err != nil {
				return err
			}
		}
	}
	if o.write != "" && o.small {
		fmt.Fprintf(out, "\nNot written to %s: these figures are not of the full size.\n", o.write)
	} else if o.write != "" {
		if err := r.write(o); err != nil {
			return err
		}
	}
	if o.strict && r.missed() {
		return errors.New("a target was missed")
	}
	return nil
}

// write writes the page, or adds to it where some parts were measured only.
func (r *report) write(o options) error {
	page := r.markdown(o)
	if o.only != "" {
		former, err := os.ReadFile(o.write)
		if err != nil {
			return err
		}
		page = withSection(string(former), r.section(o))
	}
	return os.WriteFile(o.write, []byte(page), 0o644)
}

func (r *report) missed() bool {
	for _, row := range r.rows {
		if row.judged && !row.met {
			return true
		}
	}
	return false
}
