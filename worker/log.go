package worker

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// complainEvery is how often something that goes on failing is logged.
const complainEvery = time.Minute

// complaint logs that something fails: when it begins, once a minute while it
// lasts, and when it is over.
type complaint struct {
	log  *slog.Logger
	what string

	mu   sync.Mutex
	last time.Time // of the last line; zero while all is well
}

func (c *complaint) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && !c.last.IsZero():
		c.last = time.Time{}
		c.log.Info(c.what + " works again")
	case err != nil && time.Since(c.last) > complainEvery:
		c.last = time.Now()
		c.log.Warn(c.what+" fails", "error", err)
	}
}

// quietLog keeps asynq's many words for those who debug.
type quietLog struct{ log *slog.Logger }

func (q quietLog) Debug(args ...any) {} // every look into an empty queue, 50 a second
func (q quietLog) Info(args ...any)  { q.log.Debug("asynq: " + fmt.Sprint(args...)) }
func (q quietLog) Warn(args ...any)  { q.log.Debug("asynq: " + fmt.Sprint(args...)) }
func (q quietLog) Error(args ...any) { q.log.Debug("asynq: " + fmt.Sprint(args...)) }
func (q quietLog) Fatal(args ...any) { q.log.Error("asynq: " + fmt.Sprint(args...)) }
