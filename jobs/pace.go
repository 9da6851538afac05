package jobs

import (
	"context"
	"math"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

// Pace shares out the calls that upstreams take in an hour among all processes,
// by leaky buckets in Redis. It is an optimisation: what an upstream refuses is in
// SQL. Without Redis each process keeps to a quarter by itself. It is safe for
// concurrent use.
type Pace struct {
	redis  redis.UniversalClient // nil: alone
	shared *redis_rate.Limiter
	alone  buckets
}

// NewPace returns a Pace with a few connections of its own, opened when needed.
// Without a Redis it shares with nobody.
func NewPace(r *Redis) *Pace {
	if r == nil {
		return &Pace{}
	}
	client := r.impatientClient()
	return &Pace{redis: client, shared: redis_rate.NewLimiter(client)}
}

// Take grants up to want of the perHour calls under key, and when it grants none
// says how long to wait until about so many may be made, at most a minute longer
// than until the first. want 0 only asks. It answers within 200 ms, whatever
// becomes of Redis. left is the part, from 0 to 1, of what may be taken at once that is
// there afterwards.
func (p *Pace) Take(ctx context.Context, key string, perHour, want int) (granted int, wait time.Duration, left float64) {
	limit := limitOf(perHour)
	got, rest, wait, err := p.take(ctx, key, limit, want)
	if err != nil {
		limit = limitOf(perHour / quarter)
		got, rest, wait = p.alone.take(key, limit, want)
	}
	left = float64(rest) / float64(limit.Burst)
	if got > 0 || wait <= 0 {
		return got, 0, left
	}
	more := time.Duration(max(0, min(want, limit.Burst)-1)) * interval(limit)
	return 0, wait + min(more, time.Minute), left
}

// quarter is what a process keeps to that cannot ask how much others take.
const quarter = 4

// take asks Redis. The wait is negative when there is none.
func (p *Pace) take(ctx context.Context, key string, limit redis_rate.Limit, want int) (got, left int, wait time.Duration, err error) {
	if p.shared == nil {
		return 0, 0, 0, redis.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	r, err := p.shared.AllowAtMost(ctx, key, limit, want)
	if err != nil {
		return 0, 0, 0, err
	}
	return r.Allowed, r.Remaining, r.RetryAfter, nil
}

// Count counts n calls under key that were made without asking, so that those who
// ask wait the longer. A negative n gives back what was granted and not needed.
func (p *Pace) Count(ctx context.Context, key string, perHour, n int) {
	if n == 0 {
		return
	}
	limit := limitOf(perHour)
	if p.shared != nil {
		ctx, cancel := context.WithTimeout(ctx, ringTimeout)
		defer cancel()
		if p.count(ctx, key, limit, n) == nil {
			return
		}
	}
	p.alone.count(key, limitOf(perHour/quarter), n)
}

func (p *Pace) count(ctx context.Context, key string, limit redis_rate.Limit, n int) error {
	if n < 0 {
		return giveBack.Run(ctx, p.redis, []string{redisRatePrefix + key}, (time.Duration(-n) * interval(limit)).Seconds()).Err()
	}
	limit.Burst = math.MaxInt32 // never refused: the bucket may be overdrawn
	_, err := p.shared.AllowN(ctx, key, limit, n)
	return err
}

// redisRatePrefix is what redis_rate puts before the names of its keys.
const redisRatePrefix = "rate:"

// giveBack moves the time at which a bucket will be full again, in seconds, to so much
// earlier. The library's AllowN with a negative n leaves that time as it is where the
// bucket would be full now: all that had been granted would stay taken.
var giveBack = redis.NewScript(`
local full = redis.call("GET", KEYS[1])
if full then
  redis.call("SET", KEYS[1], string.format("%.17g", tonumber(full) - tonumber(ARGV[1])), "KEEPTTL")
end
return 0
`)

// Evenly returns how perHour calls are spread: so many at once, and from then on
// one whenever the time has passed. Within any hour the two make perHour.
func Evenly(perHour int) (atOnce int, every time.Duration) {
	limit := limitOf(perHour)
	return limit.Burst, interval(limit)
}

// limitOf gives a fifth at once, so that what is small does not wait.
func limitOf(perHour int) redis_rate.Limit {
	burst := max(1, perHour/5)
	return redis_rate.Limit{Burst: burst, Rate: max(1, perHour-burst), Period: time.Hour}
}

func interval(l redis_rate.Limit) time.Duration { return l.Period / time.Duration(l.Rate) }

// Close ends the connections.
func (p *Pace) Close() error {
	if p.redis == nil {
		return nil
	}
	return p.redis.Close()
}
