package jobs

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

const memoryURL = "memory:"

// The errors are fixed sentences: those of net/url and go-redis quote the part
// they stumble over, and in a mistyped URL that is often the password.
var (
	errURL = errors.New("it is not one of memory:, redis://[user:password@]host[:port][/db], rediss://…, " +
		"redis-sentinel://[user:password@]host:port,host:port/master[?db=n]; " +
		"special characters in a password are percent-encoded")
	errMaster = errors.New("redis-sentinel:// needs the master's name as its path")
	errDB     = errors.New("the database is a number")
)

func parseURL(raw string) (*Redis, error) {
	if raw == memoryURL {
		return &Redis{name: memoryURL}, nil
	}
	scheme, _, _ := strings.Cut(raw, "://")
	switch scheme {
	case "redis", "rediss":
		return parseSingle(scheme, raw)
	case "redis-sentinel":
		return parseSentinel(raw)
	}
	return nil, errURL
}

func parseSingle(scheme, raw string) (*Redis, error) {
	o, err := redis.ParseURL(raw)
	if err != nil || o.DB < 0 || strings.ContainsAny(raw, "?#") {
		return nil, errURL
	}
	return &Redis{
		name: fmt.Sprintf("%s://%s/%d", scheme, o.Addr, o.DB),
		options: redis.UniversalOptions{
			Addrs: []string{o.Addr}, DB: o.DB,
			Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
		},
	}, nil
}

// parseSentinel is not asynq.ParseRedisURI, because that knows neither the
// database nor the password of the servers behind the sentinels.
func parseSentinel(raw string) (*Redis, error) {
	u, hosts, err := cutHosts(raw)
	if err != nil {
		return nil, err
	}
	db, err := parseDB(u.Query().Get("db"))
	if err != nil {
		return nil, err
	}
	master := strings.Trim(u.Path, "/")
	if master == "" {
		return nil, errMaster
	}
	password, _ := u.User.Password()
	return &Redis{
		name: fmt.Sprintf("redis-sentinel://%s/%s?db=%d", strings.Join(hosts, ","), master, db),
		options: redis.UniversalOptions{
			Addrs: hosts, MasterName: master, DB: db,
			Username: u.User.Username(), Password: password,
			SentinelPassword: u.Query().Get("sentinel_password"),
		},
	}, nil
}

// cutHosts takes the list of hosts out before net/url sees it, which knows one
// host and reads "a:1,b" as a bad port.
func cutHosts(raw string) (*url.URL, []string, error) {
	rest := strings.TrimPrefix(raw, "redis-sentinel://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return nil, nil, errMaster
	}
	at := strings.LastIndex(rest[:end], "@") + 1
	u, err := url.Parse("redis-sentinel://" + rest[:at] + "sentinel" + rest[end:])
	if err != nil || u.Fragment != "" {
		return nil, nil, errURL
	}
	hosts := strings.Split(rest[at:end], ",")
	for i, h := range hosts {
		if hosts[i], err = sentinelAddr(h); err != nil {
			return nil, nil, err
		}
	}
	return u, hosts, nil
}

// sentinelAddr adds the port that sentinels listen on by default.
func sentinelAddr(host string) (string, error) {
	u, err := url.Parse("redis://" + host)
	if err != nil || u.Hostname() == "" || u.Host != host {
		return "", errURL
	}
	if u.Port() == "" {
		return host + ":26379", nil
	}
	return host, nil
}

func parseDB(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	db, err := strconv.Atoi(s)
	if err != nil || db < 0 {
		return 0, errDB
	}
	return db, nil
}
