package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

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

// cpuTime is how much CPU time a process has used. 0 where there is no /proc.
func cpuTime(pid int) time.Duration {
	p, _ := readProcess(pid)
	return time.Duration(p.times) * 10 * time.Millisecond
}
