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
	if where == "" || len(os.Args) < 2 || os.Args[1] != "api" { // not the commands that make API tokens meanwhile
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

// keptBusy keeps a server busy for a while.
type keptBusy func(ctx context.Context, d time.Duration) error

// asking is keptBusy by callers who ask a server, which is prepared for it.
func asking(prepare func(context.Context, *instance) (*contender, error)) func(context.Context, *instance) (keptBusy, error) {
	return func(ctx context.Context, h *instance) (keptBusy, error) {
		asked, err := prepare(ctx, h)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, d time.Duration) error {
			load, err := newCallers(ctx, concurrency, asked.base, asked.requests)
			if err != nil {
				return err
			}
			defer load.close()
			_, err = load.load(ctx, d)
			return err
		}, nil
	}
}

// profiles says where the time of fetching and of refreshing tokens goes, of the parts that were measured and whose
// target was missed, or of all of them where a folder for profiles was given. Each is a text, under what it is about.
func (b *bench) profiles(ctx context.Context, r *report) error {
	for _, p := range []struct {
		part, about, name string
		missed            bool
		prepare           func(context.Context, *instance) (keptBusy, error)
	}{
		{"tokens", "of a token fetch", "token", r.missedTokens, asking(b.fetchesTokens)},
		{"bearers", "of a token fetch by a JWT", "jwt", r.missedJWT, asking(func(ctx context.Context, h *instance) (*contender, error) {
			w, err := h.serve(ctx, b.authorizations)
			return w.jwt, err
		})},
		{"bearers", "of an exchange", "exchange", r.missedExchange, asking(func(ctx context.Context, h *instance) (*contender, error) {
			w, err := h.serve(ctx, b.authorizations)
			return w.exchange, err
		})},
		{"refreshes", "of a refresh", "refresh", r.missedRefreshes, b.refreshes},
	} {
		if !p.missed && (b.profile == "" || !b.measures(p.part)) {
			continue
		}
		text, err := b.profileOf(ctx, p.name, p.prepare)
		if err != nil {
			return err
		}
		r.profiles = append(r.profiles, profile{p.about, text})
	}
	return nil
}

// profile is where the processor's time of something goes.
type profile struct{ about, text string }

// fetchesTokens starts an API, and prepares what it is asked on the token route.
func (b *bench) fetchesTokens(ctx context.Context, h *instance) (*contender, error) {
	api, err := h.Start(ctx, "api")
	if err != nil {
		return nil, err
	}
	h.running = append(h.running, api)
	s, err := h.store(ctx, api.URL, b.authorizations, madeUp)
	if err != nil {
		return nil, err
	}
	return &contender{base: api.URL, requests: s.ask(b.authorizations, h.token.Reveal(), s.authorization, tokenPath)}, nil
}

// profileOf profiles a server under load in a binary of its own, so that nothing of it is in what is measured. It returns
// the heaviest functions, with what they call.
func (b *bench) profileOf(ctx context.Context, name string, prepare func(context.Context, *instance) (keptBusy, error)) (string, error) {
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
	load, err := prepare(ctx, h)
	if err != nil {
		return "", err
	}
	base, err := os.ReadFile(where)
	if err != nil {
		return "", err
	}
	folder := b.profile
	if folder == "" {
		folder = filepath.Join(b.folder, "profiles")
	}
	folder = filepath.Join(folder, name)
	if err := b.record(ctx, load, string(base), folder); err != nil {
		return "", err
	}
	top, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=60", filepath.Join(folder, "profile.pprof")).Output()
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

// record keeps the callers asking while the server profiles itself.
func (b *bench) record(ctx context.Context, load keptBusy, base, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := load(ctx, time.Second); err != nil {
		return err
	}
	const seconds = 10
	var group errgroup.Group
	group.Go(func() error { return load(ctx, (seconds+1)*time.Second) })
	for _, kind := range []string{"profile", "allocs"} {
		group.Go(func() error {
			return save(ctx, fmt.Sprintf("%s/debug/pprof/%s?seconds=%d", base, kind, seconds), filepath.Join(folder, kind+".pprof"))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	b.progress("profiles are in %s; read them with: go tool pprof -top %s", folder, filepath.Join(folder, "profile.pprof"))
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
