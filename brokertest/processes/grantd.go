package processes

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/grantd/grantd/models"
)

const command = "github.com/grantd/grantd/cmd/grantd"

// Source is the folder of the command's source.
func Source(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", command).Output()
	if err != nil {
		return "", fmt.Errorf("finding the source of grantd: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Build builds grantd into folder and returns the path of the binary. Arguments
// are further ones for go build.
func Build(ctx context.Context, folder string, args ...string) (string, error) {
	binary := filepath.Join(folder, "grantd")
	args = append(append([]string{"build", "-o", binary}, args...), command)
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building grantd: %w\n%s", err, out)
	}
	return binary, nil
}

// Grantd is a binary and the settings that all its processes share.
type Grantd struct {
	Binary      string
	DatabaseURL string
	RedisURL    string
	Keyset      string // the file
	Upstream    *Upstream
	// Env has further settings, such as "GRANTD_LOG_LEVEL=debug".
	Env []string
}

// Prepare makes the keyset and the schema.
func (g *Grantd) Prepare(ctx context.Context) error {
	for _, args := range [][]string{{"keys", "init"}, {"migrate"}} {
		if _, err := g.Run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// Run runs a command that ends by itself, and returns what it printed on standard
// output. The error has what it printed on standard error.
func (g *Grantd) Run(ctx context.Context, args ...string) (string, error) {
	var out, complaint bytes.Buffer
	cmd := g.command(ctx, args)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("grantd %s: %w\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return out.String(), nil
}

// Token makes an API token, limited to the providers, of which a service needs one.
func (g *Grantd) Token(ctx context.Context, org, user string, role models.Role, providers ...string) (models.Secret, error) {
	args := []string{"token", "create", "--org", org, "--user", user, "--role", string(role)}
	for _, p := range providers {
		args = append(args, "--provider", p)
	}
	out, err := g.Run(ctx, args...)
	return models.Secret(strings.TrimSpace(out)), err
}

func (g *Grantd) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, g.Binary, args...)
	cmd.Env = append(withoutSettings(os.Environ()),
		"GRANTD_LISTEN=127.0.0.1:0",
		"GRANTD_DATABASE_URL="+g.DatabaseURL,
		"GRANTD_REDIS_URL="+g.RedisURL,
		"GRANTD_KEYSET="+g.Keyset,
		"GRANTD_TEST_PROVIDER="+g.Upstream.URL,
		"GRANTD_UPSTREAM_ALLOW="+strings.TrimPrefix(g.Upstream.URL, "http://"),
		"GRANTD_LOG_FORMAT=json",
	)
	cmd.Env = append(cmd.Env, g.Env...)
	return cmd
}

// withoutSettings keeps the settings of the developer's environment out of the tests.
func withoutSettings(environ []string) []string {
	var rest []string
	for _, pair := range environ {
		if !strings.HasPrefix(pair, "GRANTD_") {
			rest = append(rest, pair)
		}
	}
	return rest
}
