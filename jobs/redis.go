package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Redis is how to reach Redis. It implements asynq.RedisConnOpt, so that the
// worker's server takes it too. It prints without the password.
type Redis struct {
	name    string // the address, for people
	options redis.UniversalOptions
	memory  *memory // nil unless Redis lives in this process
	probe   redis.UniversalClient
}

var _ asynq.RedisConnOpt = (*Redis)(nil)

// OpenRedis understands
//
//	memory:                                             in this process, lost with it
//	redis://[user:password@]host[:port][/db]
//	rediss://…                                          the same over TLS
//	redis-sentinel://[user:password@]host:port[,host:port…]/master[?db=][&sentinel_password=]
//
// where the password in front of a sentinel's host is that of the Redis servers
// behind it. It does not connect; Ping does. Errors name GRANTD_REDIS_URL and
// never quote it.
func OpenRedis(url string) (*Redis, error) {
	r, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("GRANTD_REDIS_URL: %w", err)
	}
	if r.name == memoryURL {
		r.memory = startMemory()
		r.options.Dialer = r.memory.dial
	}
	r.probe = r.impatientClient()
	return r, nil
}

// MakeRedisClient returns a new client for asynq's server, which closes it. It
// retries and waits: a worker has time.
func (r *Redis) MakeRedisClient() any { return redis.NewUniversalClient(r.tuned()) }

// impatientClient returns a client that gives up after ringTimeout, whatever
// hangs: the dial, the greeting, or the answer. go-redis would try for seconds.
// It dials in the background, so a dial may take longer than its caller waits: a
// Redis far away, over TLS, is heard at the second ring.
func (r *Redis) impatientClient() redis.UniversalClient {
	o := r.tuned()
	o.PoolSize = 4
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DialTimeout = time.Second
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = ringTimeout, ringTimeout, ringTimeout
	return redis.NewUniversalClient(o)
}

// tuned returns options for little idle memory: task payloads are tiny, and the
// default buffers hold 64 KiB per connection.
func (r *Redis) tuned() *redis.UniversalOptions {
	o := r.options
	o.ContextTimeoutEnabled = true
	o.PoolSize = 10
	o.PipelinePoolSize = -1
	o.ReadBufferSize, o.WriteBufferSize = 4<<10, 4<<10
	o.ConnMaxIdleTime = 5 * time.Minute
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &o
}

// Ping reports whether Redis answers, within 200 ms.
func (r *Redis) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	if err := r.probe.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("Redis at %s does not answer: %w", r.name, err)
	}
	return nil
}

// InMemory reports whether Redis lives in this process, and with it only.
func (r *Redis) InMemory() bool { return r.memory != nil }

// Close ends what OpenRedis began: the connection of Ping, and the Redis in
// this process. Servers and Bells are closed before.
func (r *Redis) Close() error {
	err := r.probe.Close()
	if r.memory != nil {
		r.memory.close()
	}
	return err
}

// String returns the address without user or password.
func (r *Redis) String() string { return r.name }

// Format prints the address for every verb, %#v included.
func (r *Redis) Format(f fmt.State, _ rune) { fmt.Fprint(f, r.name) }

// LogValue implements slog.LogValuer.
func (r *Redis) LogValue() slog.Value { return slog.StringValue(r.name) }
