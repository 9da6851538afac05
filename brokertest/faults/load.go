package main

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grantd/grantd/client"
)

// load has callers fetch tokens until it is stopped, and keeps count of what they
// are told.
type load struct {
	stop    chan struct{}
	all     sync.WaitGroup
	served  atomic.Int64
	refused atomic.Int64 // 503 with Retry-After: the database is away
	slow    atomic.Int64 // 502 with Retry-After: the upstream is, or the refresh takes longer than callers wait
	wrong   sync.Map     // anything else, by its text
}

// load begins to ask.
func (x *site) load(c *client.Client, ids []string, callers int) *load {
	l := &load{stop: make(chan struct{})}
	for i := range callers {
		l.all.Go(func() {
			for n := i; ; n++ {
				select {
				case <-l.stop:
					return
				default:
				}
				_, err := c.Token(x.ctx, ids[n%len(ids)])
				l.note(err)
			}
		})
	}
	return l
}

func (l *load) note(err error) {
	if err == nil {
		l.served.Add(1)
		return
	}
	refusal, ok := errors.AsType[*client.Error](err)
	if ok && refusal.RetryAfter > 0 {
		switch refusal.Status {
		case http.StatusServiceUnavailable:
			l.refused.Add(1)
			return
		case http.StatusBadGateway:
			l.slow.Add(1)
			return
		}
	}
	l.wrong.Store(err.Error(), true)
}

// end stops the callers, and returns what they should not have been told.
func (l *load) end() (wrong []string) {
	close(l.stop)
	l.all.Wait()
	l.wrong.Range(func(text, _ any) bool {
		wrong = append(wrong, text.(string))
		return true
	})
	return wrong
}

// postgresIsRestarted holds that nobody is told anything but to come back, and
// that no process has to be restarted for it.
func postgresIsRestarted(s *scene) result {
	database := ownPostgres(s)
	x := newSite(s, database.URL, "")
	x.slowRevocations(50)
	api := x.start("api")
	x.start("worker")
	admin := x.client(api)
	ids := x.consents(admin, x.provider(admin, "test").ID, 20)
	d := x.delete(api, s.size(2000, 400))
	d.underWay(10)
	x.expire(ids[:10]...)
	l := x.load(admin, ids, 8)
	x.until("callers are served", func() bool { return l.served.Load() > 50 })

	s.must(database.Stop())
	x.until("callers are told to come back", func() bool { return l.refused.Load() > 20 })
	s.must(database.Start(s.ctx))
	up := time.Now()
	before := l.served.Load()
	x.until("callers are served again", func() bool { return l.served.Load() > before+8 })
	served := time.Since(up)
	wrong := l.end()
	if n := l.slow.Load(); n > 0 {
		s.Errorf("%d callers were told that the upstream is slow", n)
	}
	for _, text := range wrong[:min(3, len(wrong))] {
		s.Errorf("a caller was told: %s", text)
	}
	lost := x.lost(admin, ids)
	r := d.endBeside(up, int64(len(ids)))
	r.lost += lost
	r.note = fmt.Sprintf("%d answers of 503 with Retry-After; tokens were served again after %.1f s", l.refused.Load(), served.Seconds())
	return r
}
