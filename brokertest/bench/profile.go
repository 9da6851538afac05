package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grantd/grantd/brokertest/processes"
)

// profiled is laid over cmd/grantd, which has no profiles of its own: nobody
// should be able to switch them on where real secrets are.
const profiled = `package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
)

func init() {
	where := os.Getenv("BENCH_PROFILES")
	if where == "" {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(where, []byte("http://"+l.Addr().String()), 0o600); err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	go func() { fmt.Fprintln(os.Stderr, http.Serve(l, mux)) }()
}
`

// profileTokens profiles the token fetch in a binary of its own, so that nothing
// of it is in what is measured. It returns the heaviest functions, with what they
// call.
func (b *bench) profileTokens(ctx context.Context) (string, error) {
	binary, err := b.buildProfiled(ctx)
	if err != nil {
		return "", err
	}
	h, err := b.build(ctx, binary)
	if err != nil {
		return "", err
	}
	defer h.close()
	where := filepath.Join(b.folder, "profiles.url")
	h.Env = append(h.Env, "BENCH_PROFILES="+where)
	api, err := h.Start(ctx, "api")
	if err != nil {
		return "", err
	}
	defer api.Kill()
	s, err := h.store(ctx, api.URL, b.authorizations, madeUp)
	if err != nil {
		return "", err
	}
	base, err := os.ReadFile(where)
	if err != nil {
		return "", err
	}
	load, err := newCallers(ctx, concurrency, api.URL, s.ask(b.authorizations, h.token.Reveal(), s.authorization, tokenPath))
	if err != nil {
		return "", err
	}
	defer load.close()
	if b.profile == "" {
		b.profile = filepath.Join(b.folder, "profiles")
	}
	if err := b.record(ctx, load, string(base)); err != nil {
		return "", err
	}
	top, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=60", filepath.Join(b.profile, "profile.pprof")).Output()
	return string(top), err
}

// buildProfiled builds grantd with one more file.
func (b *bench) buildProfiled(ctx context.Context) (string, error) {
	folder, err := os.MkdirTemp(b.folder, "profiled-")
	if err != nil {
		return "", err
	}
	extra, overlay := filepath.Join(folder, "profiled.go"), filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(extra, []byte(profiled), 0o600); err != nil {
		return "", err
	}
	here, err := processes.Source(ctx)
	if err != nil {
		return "", err
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "profiled.go"): extra}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return "", err
	}
	return processes.Build(ctx, folder, "-overlay", overlay)
}

// record keeps the callers busy while the server profiles itself.
func (b *bench) record(ctx context.Context, load *callers, base string) error {
	if err := os.MkdirAll(b.profile, 0o755); err != nil {
		return err
	}
	if _, err := load.load(ctx, time.Second); err != nil {
		return err
	}
	const seconds = 10
	var group errgroup.Group
	group.Go(func() error {
		_, err := load.load(ctx, (seconds+1)*time.Second)
		return err
	})
	for _, kind := range []string{"profile", "allocs"} {
		group.Go(func() error {
			return save(ctx, fmt.Sprintf("%s/debug/pprof/%s?seconds=%d", base, kind, seconds), filepath.Join(b.profile, kind+".pprof"))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	b.progress("profiles of the token fetch are in %s; read them with: go tool pprof -top %s",
		b.profile, filepath.Join(b.profile, "profile.pprof"))
	return nil
}

func save(ctx context.Context, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(body)))
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, body, 0o644)
}
