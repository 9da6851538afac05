package services

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

var redisServer = kind{
	name:    "Redis",
	env:     "GRANTD_TEST_REDIS_URL",
	install: "redis-server",
	find:    func(m machine) string { return m.find("redis-server") },
	start:   startRedis,
	compose: "redis",
	port:    "6379",
	url:     redisURL,
}

func redisURL(addr string) string { return "redis://" + addr + "/0" }

// StartRedis starts a Redis of its own, for a test that stops, kills or pauses
// it. Settings are lines of redis.conf: with "appendonly yes" its data survives
// a Kill, without it is empty after each Start. The error is ErrMissing where
// none is installed.
func StartRedis(ctx context.Context, settings ...string) (*Server, error) {
	return redisServer.startLocal(ctx, settings)
}

func startRedis(ctx context.Context, binary string, settings ...string) (*Server, error) {
	return launch(ctx, recipe{
		name:    "Redis",
		prepare: func(context.Context, string) error { return nil },
		command: func(folder string, port int) command {
			return command{path: binary, args: redisArgs(folder, port, settings), dir: folder}
		},
		ready:  redisReady,
		stop:   syscall.SIGTERM,
		orphan: syscall.SIGKILL,
		url:    redisURL,
	})
}

func redisArgs(folder string, port int, settings []string) []string {
	var args []string
	defaults := []string{
		"port " + strconv.Itoa(port), "bind 127.0.0.1", "dir " + folder,
		"databases " + strconv.Itoa(ourDatabases), `save ""`, "appendonly no", "daemonize no",
	}
	for _, s := range append(defaults, settings...) {
		name, value, _ := strings.Cut(s, " ")
		args = append(args, "--"+name, strings.Trim(value, `"`))
	}
	return args
}

// redisReady asks for the process id, since another server may sit on the port.
func redisReady(ctx context.Context, _ string, port, pid int) bool {
	addr := loopback(port)
	if !listens(addr) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ContextTimeoutEnabled: true})
	defer c.Close()
	info, err := c.Info(ctx, "server").Result()
	if err != nil || !strings.Contains(info, fmt.Sprintf("process_id:%d\r", pid)) {
		return false
	}
	// While it reads its append-only file it answers INFO and refuses the rest.
	return c.Ping(ctx).Err() == nil
}

// listens asks before go-redis does, which logs each refusal.
func listens(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	return err == nil && c.Close() == nil
}
