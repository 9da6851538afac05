package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/testidp"
)

// sealed is a digest of all that a keyset has sealed.
const sealed = `SELECT hashtext(coalesce(string_agg(sealed::text, '' ORDER BY id), ''))::bigint FROM
	(SELECT id, sealed FROM credentials UNION ALL SELECT id, sealed FROM secure_configs UNION ALL SELECT name, value FROM meta) AS all_of_it`

func keysetIsMissing(s *scene) result {
	x := newSite(s, "", "")
	api := x.start("api")
	ids := x.consents(x.client(api), x.provider(x.client(api), "test").ID, 20)
	s.must(api.Stop())
	before := x.count(sealed)

	kept := x.Keyset + ".kept"
	s.must(os.Rename(x.Keyset, kept))
	x.refusesToStart(x.Grantd, "GRANTD_KEYSET")
	other := *x.Grantd
	other.Keyset = x.Keyset + ".other"
	_, err := other.Run(s.ctx, "keys", "init") // which looks at no database, and so cannot know
	s.must(err)
	x.refusesToStart(&other, "the keyset is not the one")
	if x.count(sealed) != before {
		s.Error("a start that was refused has changed what is sealed")
	}
	s.must(os.Rename(kept, x.Keyset))
	back := time.Now()
	c := x.client(x.start("api"))
	r := result{lost: x.fetched(c, ids), recovered: time.Since(back)}
	r.lost += x.lost(c, ids)
	r.spent = x.spentTwice()
	r.note = "both starts were refused, and changed nothing; seconds are those of the start with the keyset back"
	return r
}

// refusesToStart holds that no process starts, and that it says why.
func (x *site) refusesToStart(g *processes.Grantd, says string) {
	x.Helper()
	for _, command := range []string{"api", "worker"} {
		p, err := g.Start(x.ctx, command)
		if err == nil {
			x.Errorf("grantd %s started", command)
			x.must(p.Kill())
			continue
		}
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() <= 0 || !strings.Contains(err.Error(), says) {
			x.Errorf("grantd %s does not say %q: %v", command, says, err)
		}
	}
}

// resealed rotates the keyset as the handbook has it, a restart after each change
// of the file, while callers refresh all the time (K3).
func resealed(s *scene) result {
	x := newSite(s, "", "")
	api := x.start("api")
	ids := x.consents(x.client(api), x.provider(x.client(api), "test").ID, s.size(200, 40))
	doomed := x.provider(x.client(api), "test")
	x.seed(doomed, s.size(2000, 300))
	keys, err := x.Run(s.ctx, "keys", "list")
	s.must(err)
	former := strings.Fields(strings.Split(keys, "\n")[1])[0]

	added, err := x.Run(s.ctx, "keys", "add")
	s.must(err)
	api = x.restarted(api)
	_, err = x.Run(s.ctx, "keys", "promote", strings.TrimSpace(added))
	s.must(err)
	api = x.restarted(api)

	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, LatencyMS: 20})
	x.expire(ids...)
	l := x.load(x.client(api), ids, 4)
	begin := time.Now()
	_, err = x.Run(s.ctx, "keys", "reseal")
	s.must(err)
	recovered := time.Since(begin)
	for _, text := range l.end() {
		s.Errorf("a caller was told: %s", text)
	}
	_, err = x.Run(s.ctx, "keys", "remove", former)
	s.must(err)
	api = x.restarted(api)
	x.start("worker")
	d := &deletion{site: x, api: api, provider: doomed, total: int64(s.size(2000, 300))}
	d.ask()
	r := d.endBeside(time.Now(), int64(len(ids)))
	r.lost += x.lost(x.client(api), ids)
	r.spent, r.recovered = x.spentTwice(), recovered
	r.note = "seconds are those of the re-sealing; the former key was removed afterwards, and everything opened"
	return r
}

func (x *site) restarted(p *processes.Process) *processes.Process {
	x.Helper()
	x.must(p.Stop())
	return x.start("api")
}
