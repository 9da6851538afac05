package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// healthTimeout is how long `grantd health` waits for an answer.
const healthTimeout = 3 * time.Second

type healthCommand struct {
	Live bool   `help:"Ask whether the process is alive, and not whether it is ready."`
	At   string `placeholder:"URL" help:"Where the process is asked; by default at its GRANTD_METRICS_LISTEN, else at its GRANTD_LISTEN."`
}

// Help is the longer text of `grantd health --help`.
func (healthCommand) Help() string {
	return "For health checks of containers, whose image has no other program. Give it the settings of the process. It ends with 0 when the process answers that it is ready."
}

// Run asks the process beside it.
func (h healthCommand) Run(ctx context.Context, c console, cfg *Config) error {
	path := "/readyz"
	if h.Live {
		path = "/healthz"
	}
	at := h.At
	if at == "" && cfg.MetricsListen != "" {
		at = urlOf(cfg.MetricsListen)
	} else if at == "" {
		at = urlOf(cfg.Listen)
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(at, "/")+path, nil)
	if err != nil {
		return usageError{fmt.Errorf("--at: %q is not a URL, such as http://localhost:8080", at)}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the process does not answer: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(fmt.Sprintf("the process is not ready (HTTP %d): %s", resp.StatusCode, answer)))
	}
	_, err = fmt.Fprintf(c.out, "%s\n", strings.TrimSpace(string(answer)))
	return err
}
