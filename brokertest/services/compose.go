package services

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

//go:embed compose.yaml
var composeFile string

// composeTimeout bounds one docker command, the pull of an image included.
const composeTimeout = 5 * time.Minute

// dockerAnswers reports whether there is a docker whose daemon runs.
func (m machine) dockerAnswers(ctx context.Context) bool {
	if m.docker == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, m.docker, "info").Run() == nil &&
		exec.CommandContext(ctx, m.docker, "compose", "version").Run() == nil
}

// composeUp starts k in a project of its own, so that parallel runs do not meet.
func (m machine) composeUp(ctx context.Context, k kind) (offer, error) {
	project := "grantd-test-" + strings.ToLower(rand.Text()[:8])
	down := func() error {
		_, err := m.compose(context.Background(), project, "down", "--volumes")
		return err
	}
	addr, err := m.composeAddr(ctx, project, k)
	if err != nil {
		return offer{}, errors.Join(err, down())
	}
	return offer{url: k.url(addr), note: fmt.Sprintf("%s: started with docker compose on %s", k.name, addr), close: down}, nil
}

func (m machine) composeAddr(ctx context.Context, project string, k kind) (string, error) {
	if _, err := m.compose(ctx, project, "up", "--detach", "--wait", k.compose); err != nil {
		return "", err
	}
	return m.compose(ctx, project, "port", k.compose, k.port)
}

func (m machine) compose(ctx context.Context, project string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, composeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.docker, append([]string{"compose", "-p", project, "-f", "-"}, args...)...)
	cmd.Stdin = strings.NewReader(composeFile)
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker compose %s: %w\n%s", args[0], err, problems.String())
	}
	return strings.TrimSpace(out.String()), nil
}
