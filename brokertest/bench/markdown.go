package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// markdown is the report as a page of the documentation.
func (r *report) markdown(o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\n%s", r.circumstances("`make bench`"))
	r.tablesOf(&b, o)
	fmt.Fprintf(&b, notes, o.rounds, o.round, o.wide, openConnections, o.openFor, 100*mostForeign)
	b.WriteString(bearerNotes)
	r.whereTimeGoes(&b, "##")
	return b.String()
}

// section is a report of some parts, to be added to a page.
func (r *report) section(o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Measured later: %s\n\n%s", o.only, r.circumstances(fmt.Sprintf("`make bench ARGS='-only %s -rounds %d -round %s'`", o.only, o.rounds, o.round)))
	r.tablesOf(&b, o)
	if o.measures("bearers") {
		b.WriteString("\n" + bearerNotes)
	}
	if o.measures("statuses") {
		b.WriteString("\n" + statusNotes)
	}
	if o.measures("sweeps") {
		b.WriteString("\n" + sweepNotes)
	}
	r.whereTimeGoes(&b, "###")
	return b.String()
}

// withSection is a page with a section, in place of one of the same name.
func withSection(page, section string) string {
	heading, _, _ := strings.Cut(section, "\n")
	if before, former, found := strings.Cut(page, heading+"\n"); found {
		page = before
		if at := strings.Index(former, "\n## "); at >= 0 {
			page += former[at+1:]
		}
	}
	return strings.TrimRight(page, "\n") + "\n\n" + section
}

func (r *report) circumstances(by string) string {
	return fmt.Sprintf(`Written by %s on %s: %s. Server, database and load share that machine, so the
figures say how grantd compares with the bare limit in the same run, and not how fast it is on yours. Load average when it
began: %.1f.

`, by, time.Now().UTC().Format(time.DateOnly), machine(), r.load)
}

// tablesOf has the tables, and where the histograms are.
func (r *report) tablesOf(b *strings.Builder, o options) {
	line := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	for i, t := range r.tables() {
		if i > 0 {
			b.WriteString("\n")
		}
		line(t.head)
		line(append([]string{"---"}, slices.Repeat([]string{"--:"}, len(t.head)-1)...))
		for _, cells := range t.rows {
			line(cells)
		}
	}
	if len(r.open) > 0 && o.histograms != "" {
		b.WriteString("\nHistograms of the open loops, in milliseconds:")
		for i, row := range r.open {
			fmt.Fprintf(b, "%s [%s](%s)", map[bool]string{true: ","}[i > 0], row.loop.name, filepath.ToSlash(r.from(o, row.loop.file())))
		}
		b.WriteString(".\n")
	}
}

// from is the way from the page to a histogram.
func (r *report) from(o options, file string) string {
	way, err := filepath.Rel(filepath.Dir(o.write), filepath.Join(o.histograms, file))
	if err != nil {
		return file
	}
	return way
}

func (r *report) whereTimeGoes(b *strings.Builder, heading string) {
	for _, p := range r.profiles {
		fmt.Fprintf(b, "\n%s Where the processor's time %s goes\n\n```\n%s```\n", heading, p.about, p.text)
	}
}

const statusNotes = `- All authorizations are one user's, who is an admin. Lists are asked for on one connection; times are medians. A worker runs
  while STATS does. *DELETE of a user* is undone in SQL each time, and asked again; nobody works on it. The last one is worked on.
`

const sweepNotes = `- *The slowest statement*: as PostgreSQL counts it (pg_stat_statements) in a server of its own, on which only the worker runs; authorizations
  are not due, and consents were completed today.
`

const bearerNotes = `- *For a service*: an API process of its own, each of whose authorizations belongs to another person. A service asks with its API
  token or its JWT on the token route, naming the person; by the standard exchange it gives the person's JWT. All tokens have
  been verified before and are remembered: in these turns, no signature is verified.
`

const notes = `
- *Memory* is VmRSS of a process on PostgreSQL and Redis.
- *Idle* is the processor time of the grantd processes, sweeps and health checks included, in parts of one core; PostgreSQL and
  Redis are not in it.
- *The same row*: an Echo handler that reads the row grantd reads, authorization, provider and credential, on a pgx pool,
  opens the same ciphertext with Tink, and answers with the token: no caller, no policy, no check of freshness, no
  metrics, a short body. It is a process of its own with as many connections to PostgreSQL as grantd. Under as many kept
  connections as there are callers all take turns, %d times %s each after a warm-up; throughput is the median of the turns, a
  ratio the median of what the two have in the same round, percentiles are of all answers.
- *The credential alone*: the same handler reads only the sealed credential and the ids it is bound to, by primary key.
  The difference is what permission, provider and freshness cost in PostgreSQL.
- *Stored*: rows like those of a real consent, each sealed to its own owner, written into the tables; of those fetched,
  as many as are stored in the small database, from all over the table. *%d different ones* shows what the counting of
  fetches and the caches of PostgreSQL (shared_buffers 64 MB) make of it when nearly every call is for another one.
- *SQLite*: one process of grantd serve, with nothing else. Its authorizations are of real consents.
- *Asked at fixed times*: requests are sent at their times whether or not earlier ones were answered, on at most %d connections,
  for %s after a warm-up. Each counts from when it was to be sent, with what it waited for a connection. *Capacity* is the most
  that grantd did in a closed loop in this run. Ratios are to the first of those that had the same load.
- What is not answered within 10 s does not count as answered, and counts as 10 s. A timer may wake the load up to a millisecond
  late, which counts as well, for all alike.
- *Foreign CPU* is what processes other than the bench, what it started, PostgreSQL and Redis used of all processors. Targets in
  milliseconds, and in percent of a core, are judged in parts where that is less than %.0f %%; where it says *not judged*, the
  ratio to the bare handler is what counts, where there is one.
- *Garbage collections* are of all grantd processes of the part, as the runtime tells them (GODEBUG=gctrace=1); pauses are of its
  two phases that stop the process. *Asked for* are the checkpoints that the bench asks PostgreSQL for after it has stored much.
- The load is written by hand on plain connections: prepared bytes out, and of the answer only status and length read.
  [Why it is not vegeta](decisions/0065-the-load-is-our-own.md).
- *Pages* take turns on one connection.
- *First pages* take turns on a connection each, with the session of an admin who has all of the stored authorizations,
  while others fetch tokens of the same process. The bare handler is that of *the same row*.
- *DELETE of a provider* is undone in SQL each time, and asked again; nobody works on it. The last one is worked on.
- *DELETE answered → RUNNING* is what a client sees that asks every millisecond, with one API and one worker process, for
  providers with one to five authorizations.
- *Revocations*: from the answer to DELETE to the job's end as a client sees it. *2 × 32 in flight* is two worker
  processes with GRANTD_REVOKE_CONCURRENCY=32, its default. What they are compared with is the time that the upstream
  needs if every slot always waits for it. The upstream, worker, PostgreSQL and Redis share the machine.
- *Refreshes*: the callers are spread over the processes, all connections are open, and all ask at once; the upstream
  takes its time for the refresh. The slowest caller is timed from the first request.
- *Refreshes of one process*: an API process, upstream without latency, and PostgreSQL with fsync on, which all other rows do
  without. CPU time is that of the process. The upstream, the callers and PostgreSQL share the machine with it.
- *While … are due*: tokens that are due and valid for ten more minutes, at an upstream without latency whose refresh
  invalidates the old token, asked for at fixed times. *Without due tokens*, and for *the bare handler*: the same rates of fresh
  tokens before.
- *Refreshed ahead*: a worker alone, from its first refresh. What it is compared with is an API process alone.
`
