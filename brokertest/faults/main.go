package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.write, "write", "", "also write the table to this `file`, as Markdown")
	flag.StringVar(&o.only, "only", "", "play only the rows whose name contains this `text`")
	flag.BoolVar(&o.small, "small", false, "at the size of the tests")
	flag.Parse()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

type options struct {
	write string
	only  string
	small bool
}

// run plays one row after the other, so that none slows another one down.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	folder, err := os.MkdirTemp("", "grantd-faults-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	binary, err := processes.Build(ctx, filepath.Clean(folder))
	if err != nil {
		return err
	}
	var lines []line
	for i, r := range rows {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !strings.Contains(r.name, o.only) {
			continue
		}
		fmt.Fprintf(out, "%d of %d: %s\n", i+1, len(rows), r.what)
		begin := time.Now()
		l := r.staged(ctx, binary, !o.small)
		fmt.Fprintf(out, "    %s (took %.0f s)\n", strings.Join(l.cells()[1:], "  "), time.Since(begin).Seconds())
		lines = append(lines, l)
	}
	return finish(o, lines, out)
}

// staged plays a row outside of a test.
func (r row) staged(ctx context.Context, binary string, full bool) line {
	st, l := newStage(ctx, r.name), line{row: r, full: full}
	st.play(func() { l.result = r.on(st, binary, full) })
	l.skipped, l.err = st.skipped, st.err()
	return l
}

// finish prints the table, and fails when a row is not as it should be.
func finish(o options, lines []line, out io.Writer) error {
	fmt.Fprintln(out)
	if err := printTable(out, lines); err != nil {
		return err
	}
	if o.write != "" {
		where := fmt.Sprintf("%d CPUs, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
		if err := writePage(o.write, lines, where); err != nil {
			return err
		}
	}
	var wrong []error
	for _, l := range lines {
		if l.bad() {
			wrong = append(wrong, l.complaint())
		}
	}
	return errors.Join(wrong...)
}
