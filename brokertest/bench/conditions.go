package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/grantd/grantd/brokertest/processes"
)

// mostForeign is the share of the machine's CPU time that processes of others may have used where targets in milliseconds
// or percent are judged.
const mostForeign = 0.1

// conditions are what else went on while a part was measured.
type conditions struct {
	part        string
	took        time.Duration
	load        float64 // average of the machine over the last minute, at the end
	foreign     float64 // share of the machine's CPU time that processes of others used
	collections collections
	checkpoints checkpoints
}

// busy reports whether others used so much that times and shares of time say nothing about grantd.
func (c conditions) busy() bool { return c.foreign >= mostForeign }

var conditionsHead = []string{"part", "took", "load average", "foreign CPU", "garbage collections of grantd", "longest pause, all of them", "checkpoints of PostgreSQL, asked for"}

func (c conditions) cells() []string {
	return []string{c.part, c.took.Round(time.Second).String(), fmt.Sprintf("%.1f", c.load), percent(c.foreign),
		fmt.Sprint(c.collections.n), ms(c.collections.longest) + ", " + ms(c.collections.paused),
		fmt.Sprintf("%d, %d", c.checkpoints.timed, c.checkpoints.asked)}
}

// observer looks at what else goes on.
type observer struct {
	database string
	roots    []int // of the trees of processes that are ours: the bench, PostgreSQL and Redis

	started []*traced

	begun       time.Time
	times       cpuTimes
	checkpoints checkpoints
}

// newObserver finds out which processes are ours. A PostgreSQL or Redis on another machine has none here.
func newObserver(ctx context.Context, database, redisURL string) (*observer, error) {
	o := &observer{database: database, roots: []int{os.Getpid()}}
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	var backend int
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return nil, err
	}
	if p, ok := readProcess(backend); ok && strings.HasPrefix(p.name, "postgres") {
		o.roots = append(o.roots, p.parent)
	}
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return nil, err
	}
	client := redis.NewClient(options)
	defer client.Close()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "process_id:"); ok {
			pid, _ := strconv.Atoi(value)
			if p, ok := readProcess(pid); ok && strings.HasPrefix(p.name, "redis") {
				o.roots = append(o.roots, pid)
			}
		}
	}
	return o, nil
}

// begin is called before a part.
func (o *observer) begin(ctx context.Context) (err error) {
	o.collected() // what was before does not count
	if o.checkpoints, err = readCheckpoints(ctx, o.database); err != nil {
		return err
	}
	o.begun, o.times = time.Now(), readCPUTimes(o.roots)
	return nil
}

// end is called after the part, and says how it was.
func (o *observer) end(ctx context.Context, part string) (conditions, error) {
	now, err := readCheckpoints(ctx, o.database)
	return conditions{part: part, took: time.Since(o.begun), load: loadAverage(), foreign: readCPUTimes(o.roots).foreignSince(o.times),
		collections: o.collected(), checkpoints: checkpoints{now.timed - o.checkpoints.timed, now.asked - o.checkpoints.asked}}, err
}

// traced is a grantd that says on its log when it collected garbage.
type traced struct {
	process *processes.Process
	read    int // of its log
}

// traceCollections is the setting for it.
const traceCollections = "GODEBUG=gctrace=1"

func (o *observer) watch(p *processes.Process) {
	o.started = append(o.started, &traced{process: p})
}

// collections are garbage collections, and for how long they stopped the process.
type collections struct {
	n               int
	longest, paused time.Duration
}

// collected counts what was not counted before.
func (o *observer) collected() (c collections) {
	for _, t := range o.started {
		log := t.process.Log()
		c.add(log[t.read:])
		t.read = len(log)
	}
	return c
}

// pauses are of the two phases of a collection that stop the process; between them is the one that does not.
var pauses = regexp.MustCompile(`(?m)^gc \d+ @.*?: ([0-9.]+)\+[0-9.]+\+([0-9.]+) ms clock`)

func (c *collections) add(log string) {
	for _, found := range pauses.FindAllStringSubmatch(log, -1) {
		var pause time.Duration
		for _, phase := range found[1:] {
			f, _ := strconv.ParseFloat(phase, 64)
			pause += time.Duration(f * float64(time.Millisecond))
		}
		c.n++
		c.paused += pause
		c.longest = max(c.longest, pause)
	}
}

// checkpoints are how often PostgreSQL wrote out what it holds, by itself and because it was told to: the bench asks for
// one where it has stored much.
type checkpoints struct{ timed, asked int64 }

func readCheckpoints(ctx context.Context, database string) (c checkpoints, err error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return c, err
	}
	defer conn.Close(ctx)
	var version int
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return c, err
	}
	query := "SELECT checkpoints_timed, checkpoints_req FROM pg_stat_bgwriter"
	if version >= 170000 {
		query = "SELECT num_timed, num_requested FROM pg_stat_checkpointer"
	}
	return c, conn.QueryRow(ctx, query).Scan(&c.timed, &c.asked)
}

// cpuTimes are of the machine since it started, in hundredths of a second.
type cpuTimes struct {
	all, busy int64 // of all CPUs
	ours      int64
}

// readCPUTimes sums up what the machine did and what some trees of processes did. All is 0 where there is no /proc.
func readCPUTimes(roots []int) (t cpuTimes) {
	stat, _ := os.ReadFile("/proc/stat")
	t.all, t.busy = machineTimes(string(stat))
	folders, _ := filepath.Glob("/proc/[0-9]*")
	all := map[int]process{}
	for _, folder := range folders {
		pid, _ := strconv.Atoi(filepath.Base(folder))
		if p, ok := readProcess(pid); ok {
			all[pid] = p
		}
	}
	t.ours = timesOfTrees(all, roots)
	return t
}

// foreignSince is the share of the CPU time since then that others used.
func (t cpuTimes) foreignSince(before cpuTimes) float64 {
	if t.all <= before.all {
		return 0
	}
	return max(0, float64(t.busy-before.busy-(t.ours-before.ours))/float64(t.all-before.all))
}

// machineTimes reads the first line of /proc/stat: user, nice, system, idle, waiting for a disk, two kinds of interrupts,
// and what another virtual machine took.
func machineTimes(stat string) (all, busy int64) {
	line, _, _ := strings.Cut(stat, "\n")
	for i, word := range strings.Fields(line) {
		n, _ := strconv.ParseInt(word, 10, 64)
		if i == 0 || i > 8 { // time of guests is in user and nice already
			continue
		}
		all += n
		if i != 4 && i != 5 {
			busy += n
		}
	}
	return all, busy
}

// process is what /proc says about one.
type process struct {
	name   string
	parent int
	times  int64 // with those of its children that have ended
}

func readProcess(pid int) (process, bool) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	defer f.Close()
	line, _ := bufio.NewReader(f).ReadString('\n')
	return parseProcess(line)
}

// parseProcess reads a line of /proc/N/stat, whose second word is a name in parentheses that may hold blanks.
func parseProcess(line string) (p process, ok bool) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return p, false
	}
	words := strings.Fields(line[end+1:])
	if len(words) < 15 {
		return p, false
	}
	p.name = line[open+1 : end]
	p.parent, _ = strconv.Atoi(words[1])
	for _, word := range words[11:15] {
		n, _ := strconv.ParseInt(word, 10, 64)
		p.times += n
	}
	return p, true
}

// timesOfTrees sums up processes that are among the roots or descend from one.
func timesOfTrees(all map[int]process, roots []int) (sum int64) {
	ours := map[int]bool{0: false}
	for _, pid := range roots {
		ours[pid] = true
	}
	var isOurs func(pid int) bool
	isOurs = func(pid int) bool {
		known, ok := ours[pid]
		if p, there := all[pid]; !ok && there {
			known = isOurs(p.parent)
			ours[pid] = known
		}
		return known
	}
	for pid, p := range all {
		if isOurs(pid) {
			sum += p.times
		}
	}
	return sum
}
