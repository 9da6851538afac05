package main

import (
	"flag"
	"slices"
	"strings"
	"time"
)

type options struct {
	strict, small        bool
	write, profile, only string

	settle time.Duration
	idling time.Duration
	grown  int

	rounds         int
	round          time.Duration
	authorizations int
	stored         int
	wide           int

	page, pageSize, views int

	asks  int
	watch time.Duration

	deletions int

	revoked int
	latency time.Duration

	flocks, birds  int
	refreshLatency time.Duration

	beside, besideIs string

	openFor    time.Duration
	histograms string

	herded  int
	herdFor time.Duration
}

func (o *options) flags(f *flag.FlagSet) {
	f.BoolVar(&o.strict, "strict", false, "fail when a target is missed")
	f.BoolVar(&o.small, "small", false, "run every part with little, to see that it works; its figures mean nothing")
	f.StringVar(&o.write, "write", "", "also write the report to this `file`, as Markdown; with -only it is added to what the file has")
	f.StringVar(&o.profile, "profile", "", "also write profiles of tokens, bearers and refreshes into this `folder`; they are made in any case when a target of theirs is missed")
	f.StringVar(&o.only, "only", "", "measure only these, with commas between them: "+strings.Join(partNames(), ", ")+", nothing")

	f.DurationVar(&o.settle, "settle", 10*time.Second, "memory, idle, sweeps: how long a process idles before it is measured")
	f.DurationVar(&o.idling, "idling", time.Minute, "idle, sweeps: how long nobody asks for anything")
	f.IntVar(&o.grown, "grown", 100_000, "growth: how many authorizations are deleted")

	f.IntVar(&o.rounds, "rounds", 6, "tokens, sqlite, bearers, refreshes: how often all take turns")
	f.DurationVar(&o.round, "round", 1500*time.Millisecond, "tokens, sqlite, bearers, refreshes: how long a turn lasts")
	f.IntVar(&o.authorizations, "authorizations", 1000, "tokens, sqlite, bearers: how many authorizations are stored, and fetched of")
	f.IntVar(&o.stored, "stored", 1_000_000, "tokens, pages, asked, statuses, sweeps: how many authorizations are stored in the crowded instance")
	f.IntVar(&o.wide, "wide", 50_000, "tokens: of how many of these tokens are fetched, beside as many as are fetched of few")

	f.IntVar(&o.page, "page", 1000, "pages: which page is compared with the first")
	f.IntVar(&o.pageSize, "page-size", 100, "pages: how many things are on a page")
	f.IntVar(&o.views, "views", 200, "pages: how often each is asked for")

	f.IntVar(&o.asks, "asks", 20, "asked: how often each deletion is asked for")
	f.DurationVar(&o.watch, "watch", 10*time.Second, "asked: how long the running job is looked at")

	f.IntVar(&o.deletions, "deletions", 50, "deletions: how many providers are deleted")

	f.IntVar(&o.revoked, "revoked", 10_000, "revocations: how many")
	f.DurationVar(&o.latency, "latency", 50*time.Millisecond, "revocations: how long the upstream takes for each")

	f.IntVar(&o.flocks, "flocks", 5, "flock: how often the token expires")
	f.IntVar(&o.birds, "birds", 1000, "flock: how many callers there are")
	f.DurationVar(&o.refreshLatency, "refresh-latency", 300*time.Millisecond, "flock: how long the upstream takes to refresh")

	f.StringVar(&o.beside, "beside", "", "tokens, sqlite, refreshes: another `binary` of grantd to take turns with, each on a database of its own")
	f.StringVar(&o.besideIs, "beside-is", "the other binary", "what the report calls it, such as the commit that it is of")

	f.DurationVar(&o.openFor, "open-for", 6*time.Second, "tokens, sqlite, bearers, herd: how long each open loop lasts")
	f.StringVar(&o.histograms, "histograms", "", "keep the histograms of open loops in this `folder`, as HdrHistogram prints percentiles")

	f.IntVar(&o.herded, "herded", 100_000, "herd: how many tokens are due")
	f.DurationVar(&o.herdFor, "herd-for", 15*time.Second, "herd: how long each of its loads lasts")
}

// shrink makes everything small.
func (o *options) shrink() {
	o.settle, o.idling, o.grown = time.Second, time.Second, 300
	o.rounds, o.round, o.authorizations, o.stored, o.wide = 2, 200*time.Millisecond, 100, 3000, 500
	o.page, o.pageSize, o.views = 20, 10, 10
	o.asks, o.watch = 3, time.Second
	o.deletions = 5
	o.revoked, o.latency = 300, 20*time.Millisecond
	o.flocks, o.birds = 2, 60
	o.herded, o.herdFor = 800, time.Second
	o.openFor = 500 * time.Millisecond
}

// partNames are what can be measured.
func partNames() (names []string) {
	for _, p := range (*bench)(nil).parts() {
		names = append(names, p.name)
	}
	return names
}

func (o options) measures(what string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ","), what)
}

// unknown is the first part that -only cannot mean, if any.
func (o options) unknown() string {
	for _, part := range strings.Split(o.only, ",") {
		if part != "" && part != "nothing" && !slices.Contains(partNames(), part) {
			return part
		}
	}
	return ""
}
