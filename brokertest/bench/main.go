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
//	token.go        fetching fresh tokens, beside a bare handler (bare.go, load.go)
//	pages.go        pages far behind in a list
//	asked.go        the answer to DELETE for a crowded provider, and its job
//	deletion.go     from the answer to DELETE until the job runs
//	revocations.go  many revocations at a slow upstream
//	flock.go        many callers with one expired token
//	growth.go       what a process holds while it deletes
//	stored.go       authorizations in large numbers; million.go the house full of them
//	profile.go      where the time of a token fetch goes (-profile)
//	report.go       the targets and the table
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/models"
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
	if busy := loadAverage(); busy > float64(runtime.NumCPU()) {
		fmt.Fprintf(out, "The machine is busy with something else (load average %.1f): figures will be lower and uneven.\n", busy)
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
	b := &bench{options: o, set: set, folder: folder, binary: binary, out: out}
	defer func() { b.filled.end() }()
	r := &report{}
	for _, p := range b.parts() {
		if !o.measures(p.name) {
			continue
		}
		begin := time.Now()
		if err := p.measure(ctx, r); err != nil {
			return fmt.Errorf("measuring %s: %w", p.name, err)
		}
		b.progress("%s took %s", p.name, time.Since(begin).Round(time.Second))
	}
	if o.profile != "" || r.missedTokens {
		if r.profile, err = b.profileTokens(ctx); err != nil {
			return fmt.Errorf("profiling: %w", err)
		}
	}
	return r.finish(o, out)
}

// part is one measurement. They run in this order: what uses the crowded house comes
// first and together, what empties it last of those.
type part struct {
	name    string
	measure func(context.Context, *report) error
}

func (b *bench) parts() []part {
	return []part{
		{"memory", b.memory}, {"growth", b.growth},
		{"tokens", b.tokens}, {"pages", b.pages}, {"asked", b.asked},
		{"deletions", b.deletions}, {"revocations", b.revocations}, {"flock", b.flock},
	}
}

// bench is what the measurements share.
type bench struct {
	options
	set    *services.Set
	folder string
	binary string
	out    io.Writer
	filled *million // nil until it is needed
}

// progress is for whoever waits.
func (b *bench) progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

// house is a grantd on an empty database, with an admin's token.
type house struct {
	*processes.Grantd
	token models.Secret
	close func()
}

// build makes a house. The binary is the bench's own unless another one is given.
func (b *bench) build(ctx context.Context, binary string) (*house, error) {
	database, drop, err := b.set.NewDatabase(ctx)
	if err != nil {
		return nil, err
	}
	redis, empty, err := b.set.NewRedis(ctx)
	if err != nil {
		drop()
		return nil, err
	}
	folder, err := os.MkdirTemp(b.folder, "house-")
	upstream := processes.StartUpstream()
	h := &house{
		Grantd: &processes.Grantd{Binary: binary, DatabaseURL: database, RedisURL: redis,
			Keyset: filepath.Join(folder, "keyset.json"), Upstream: upstream},
		close: func() { upstream.Close(); empty(); drop() },
	}
	if err == nil {
		err = h.Prepare(ctx)
	}
	if err == nil {
		h.token, err = h.Token(ctx, "acme", "root", models.RoleAdmin)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// machine says where this was measured.
func machine() string {
	return fmt.Sprintf("%s, %d CPUs, %s/%s, %s", cpu(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func cpu() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return "unknown processor"
}

// loadAverage is how many processes wanted a CPU in the last minute, 0 where there
// is no /proc.
func loadAverage() float64 {
	load, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(load), " ")
	average, _ := strconv.ParseFloat(first, 64)
	return average
}

// cpuTime is how much CPU time a process has used. It reads the 14th and 15th
// word of /proc/N/stat, in hundredths of a second; the second word is in
// parentheses and may hold blanks. 0 where there is no /proc.
func cpuTime(pid int) time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	words := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(words) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(words[11])
	system, _ := strconv.Atoi(words[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
