package services

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// ourDatabases is how many logical databases our own Redis has. asynq cannot put
// a prefix before its keys, so each test gets a database.
const ourDatabases = 512

// Database 0 keeps the books, because every test process asks: which numbers
// were handed out, and which came back. FLUSHALL would burn the books, and is
// for tests with a Server of their own.
const (
	lastKey = "grantd-test:last"
	freeKey = "grantd-test:free"
)

// NewRedis returns the URL of an empty logical database; drop empties it and
// gives it back. Only a Redis with as many databases as ours is cut up in this
// way. Of any other, which may hold somebody's data, all tests get the same URL
// and nothing is emptied.
func (s *Set) NewRedis(ctx context.Context) (redisURL string, drop func(), err error) {
	if s.RedisURL == "" {
		return "", nil, errors.New("there is no Redis")
	}
	books, err := s.redisClient(0)
	if err != nil {
		return "", nil, err
	}
	defer books.Close()
	if !cutUp(ctx, books) {
		return s.RedisURL, func() {}, nil
	}
	db, err := take(ctx, books)
	if err != nil {
		return "", nil, fmt.Errorf("taking a Redis database for a test: %w", err)
	}
	return s.redisDatabaseURL(db), func() { s.giveBack(db) }, nil
}

// redisClient does not wrap errors: they quote the password.
func (s *Set) redisClient(db int) (*redis.Client, error) {
	o, err := redis.ParseURL(s.redisDatabaseURL(db))
	if err != nil {
		return nil, errors.New("GRANTD_TEST_REDIS_URL is not a URL of a Redis")
	}
	return redis.NewClient(o), nil
}

// redisDatabaseURL returns "", which is no URL either, when RedisURL is none.
func (s *Set) redisDatabaseURL(db int) string {
	u, err := url.Parse(s.RedisURL)
	if err != nil {
		return ""
	}
	u.Path = fmt.Sprintf("/%d", db)
	return u.String()
}

func cutUp(ctx context.Context, c *redis.Client) bool {
	config, err := c.ConfigGet(ctx, "databases").Result()
	return err == nil && config["databases"] == strconv.Itoa(ourDatabases)
}

func take(ctx context.Context, books *redis.Client) (int, error) {
	db, err := books.SPop(ctx, freeKey).Int()
	if !errors.Is(err, redis.Nil) {
		return db, err
	}
	n, err := books.Incr(ctx, lastKey).Result()
	if err == nil && n >= ourDatabases {
		err = errors.New("all are in use")
	}
	return int(n), err
}

// giveBack keeps the number to itself when it could not empty the database.
func (s *Set) giveBack(db int) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	lent, err := s.redisClient(db)
	if err != nil {
		return
	}
	defer lent.Close()
	if lent.FlushDB(ctx).Err() != nil {
		return
	}
	if books, err := s.redisClient(0); err == nil {
		defer books.Close()
		books.SAdd(ctx, freeKey, db)
	}
}
