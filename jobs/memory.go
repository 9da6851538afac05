package jobs

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// tick is how often time passes in the Redis of this process, and so how
// precisely keys expire there.
const tick = 500 * time.Millisecond

// memory is a Redis in this process: no port, no file, one user.
type memory struct {
	server *miniredis.Miniredis
	ctx    context.Context // ends with close
	cancel context.CancelFunc
	clock  sync.WaitGroup

	mu        sync.Mutex
	listeners map[*func(queue string)]struct{}
}

func startMemory() *memory {
	m := &memory{server: miniredis.NewMiniRedis(), listeners: map[*func(string)]struct{}{}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.clock.Go(m.run)
	return m
}

// run makes time pass. Without it keys never expire, and a lock that asynq left
// behind would hold forever; miniredis can also do it by itself (ClockTTL), but
// then looks at every key for every command.
func (m *memory) run() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-ticker.C:
			now := time.Now()
			m.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

// listen has heard called with the queue of every ring, until stop is called.
func (m *memory) listen(heard func(queue string)) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners[&heard] = struct{}{}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.listeners, &heard)
	}
}

func (m *memory) announce(_ context.Context, queue string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for heard := range m.listeners {
		(*heard)(queue)
	}
	return nil
}

// dial refuses after close: miniredis would start again for a late client.
func (m *memory) dial(context.Context, string, string) (net.Conn, error) {
	if m.ctx.Err() != nil {
		return nil, errors.New("the Redis in this process is closed")
	}
	return m.server.Dial()
}

func (m *memory) close() {
	m.cancel()
	m.clock.Wait()
	m.server.Close()
}
