package jobs

import (
	"sync"
	"time"

	"github.com/go-redis/redis_rate/v10"
)

// buckets are those of a process that cannot ask Redis, with the same arithmetic
// (GCRA): of each key is known when all that was taken will have been earned.
type buckets struct {
	mu     sync.Mutex
	earned map[string]time.Time
}

// take grants up to want calls, or says when there will be one; a negative wait
// means that there is.
func (b *buckets) take(key string, limit redis_rate.Limit, want int) (got, left int, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, every := time.Now(), interval(limit)
	earned := b.at(key, now)
	free := time.Duration(limit.Burst)*every - earned.Sub(now)
	if free < every {
		return 0, 0, every - free
	}
	got = min(want, int(free/every))
	b.earned[key] = earned.Add(time.Duration(got) * every)
	return got, int(free/every) - got, -1
}

func (b *buckets) count(key string, limit redis_rate.Limit, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.earned[key] = b.at(key, time.Now()).Add(time.Duration(n) * interval(limit))
}

// at returns when the key is full again, and forgets those that are.
func (b *buckets) at(key string, now time.Time) time.Time {
	if b.earned == nil {
		b.earned = map[string]time.Time{}
	}
	for k, t := range b.earned {
		if !t.After(now) {
			delete(b.earned, k)
		}
	}
	if t, ok := b.earned[key]; ok {
		return t
	}
	return now
}
