// Command bench measures what the README promises, each against the bare limit in
// the same run:
//
//	go run ./brokertest/services/with go run ./brokertest/bench
//
// It builds grantd, runs it on real PostgreSQL and Redis, and prints a table.
// A missed target is said in the table; with -strict it is a failure as well. With
// -small every part runs with little, to see that it works.
//
//	memory.go       what an idle process holds
//	idle.go         what idle processes use of a core
//	token.go        fetching fresh tokens, beside a bare handler (bare.go, load.go); tokenrows.go what is told of it
//	sqlite.go       the same in one process on SQLite
//	openloop.go     requests at their times, whatever the answers do
//	bearers.go      the same by an API token, a JWT of a trusted issuer, and the exchange
//	pages.go        pages far behind in a list
//	firstpage.go    what people see first, beside a running load
//	statuses.go     what would look at every authorization; only where -only names it, or -small
//	sweeps.go       what an idle worker's statements take; as statuses
//	asked.go        the answer to DELETE for a crowded provider, and its job
//	deletion.go     from the answer to DELETE until the job runs
//	revocations.go  many revocations at a slow upstream
//	flock.go        many callers with one expired token
//	refreshes.go    how many refreshes a process can do
//	herd.go         very many tokens that are due at once
//	growth.go       what a process holds while it deletes
//	stored.go       authorizations in large numbers; million.go the instance full of them
//	profile.go      where the time of a token fetch goes (-profile)
//	instance.go     a grantd on an empty database; machine.go what it runs on; conditions.go what else goes on meanwhile
//	report.go       the targets and the table; markdown.go the page
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/brokertest/services"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 2 && os.Args[1] == "bare" {
		exit(bare(ctx))
	}
	var o options
	o.flags(flag.CommandLine)
	flag.Parse()
	if o.small {
		o.shrink()
	}
	if unknown := o.unknown(); unknown != "" {
		exit(fmt.Errorf("-only does not know %q", unknown))
	}
	exit(run(ctx, o, os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run measures one thing after the other, so that none disturbs the next.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	fmt.Fprintln(out, machine())
	r := &report{load: loadAverage()}
	if r.load > float64(runtime.NumCPU()) {
		fmt.Fprintf(out, "The machine is busy with something else (load average %.1f): figures will be lower and uneven.\n", r.load)
	}
	folder, err := os.MkdirTemp("", "grantd-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	set, err := services.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	if len(set.Missing) > 0 {
		return errors.New(strings.Join(set.Missing, "; "))
	}
	binary, err := processes.Build(ctx, folder)
	if err != nil {
		return err
	}
	b := &bench{options: o, set: set, folder: folder, binary: binary}
	if b.observer, err = newObserver(ctx, set.PostgresURL, set.RedisURL); err != nil {
		return fmt.Errorf("looking at the machine: %w", err)
	}
	defer func() { b.filled.end() }()
	for _, p := range b.parts() {
		if !o.measures(p.name) || p.apart && o.only == "" && !o.small {
			continue
		}
		if err := b.measure(ctx, p, r); err != nil {
			return fmt.Errorf("measuring %s: %w", p.name, err)
		}
	}
	if err := b.profiles(ctx, r); err != nil {
		return fmt.Errorf("profiling: %w", err)
	}
	return r.finish(o, out)
}

// measure measures one part, and looks at what else goes on meanwhile.
func (b *bench) measure(ctx context.Context, p part, r *report) error {
	if err := b.observer.begin(ctx); err != nil {
		return err
	}
	from := len(r.rows)
	if err := p.measure(ctx, r); err != nil {
		return err
	}
	c, err := b.observer.end(ctx, p.name)
	r.under(c, from)
	b.progress("%s took %s; others used %s of the processors", p.name, c.took.Round(time.Second), percent(c.foreign))
	return err
}

// part is one measurement. They run in this order: what uses the crowded instance comes
// first and together, what empties it last of those.
type part struct {
	name    string
	measure func(context.Context, *report) error
	apart   bool // it is measured only where it is named: it stores very many authorizations of its own
}

func (b *bench) parts() []part {
	return []part{
		{"memory", b.memory, false}, {"idle", b.idle, false}, {"growth", b.growth, false},
		{"tokens", b.tokens, false}, {"sqlite", b.tokensOnSQLite, false}, {"bearers", b.bearers, false}, {"pages", b.pages, false}, {"asked", b.asked, false},
		{"statuses", b.statuses, true}, {"sweeps", b.sweeps, true},
		{"first-pages", b.firstPages, false}, {"deletions", b.deletions, false}, {"revocations", b.revocations, false}, {"flock", b.flock, false},
		{"refreshes", b.refreshRates, false}, {"herd", b.herd, false},
	}
}

// bench is what the measurements share.
type bench struct {
	options
	set    *services.Set
	folder string
	binary string
	filled *million // nil until it is needed

	observer *observer
}

// progress is shown to the person who waits.
func (b *bench) progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
