package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/grantd/grantd/store"
)

// Config is every setting. A flag wins over the environment variable of the same
// name (--public-url, GRANTD_PUBLIC_URL), that over the default; an empty
// variable counts as absent.
type Config struct {
	Listen    string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where the API listens."`
	PublicURL string `name:"public-url" placeholder:"URL" help:"Where people and clients reach this instance; by default http:// and the address it listens on."`

	Data        string `default:"./grantd-data" placeholder:"DIR" help:"Folder for what is kept in files: grantd.db and keyset.json."`
	DatabaseURL string `name:"database-url" placeholder:"URL" help:"sqlite:PATH or postgres://user:password@host/database; by default grantd.db in the data folder."`
	RedisURL    string `name:"redis-url" default:"memory:" placeholder:"URL" help:"redis://, rediss:// or redis-sentinel://, or memory: for a Redis inside this process."`
	Keyset      string `placeholder:"FILE" help:"The keyset that seals all secrets; by default keyset.json in the data folder. Must be given with PostgreSQL."`

	keysetSettings

	UpstreamAllow []string `placeholder:"HOST" help:"Upstreams admitted although private, loopback or plain http: host, host:port or CIDR."`
	WebhookAllow  []string `placeholder:"HOST" help:"Receivers of webhooks admitted although private, loopback, plain http or on another port than 443: host, host:port or CIDR."`
	RedirectAllow []string `placeholder:"ORIGIN" help:"Origins that a consent may return to, such as https://app.example.com, beside the public URL and loopback."`
	TestProvider  string   `placeholder:"URL" help:"A test authorization server; makes the provider type \"test\" available. Not for production."`

	signInSettings
	Issuers string `placeholder:"FILE" help:"A JSON file with the issuers whose bearer tokens are accepted beside API tokens. It is read again at SIGHUP."`
	brandSettings

	TrustedProxies      []string `placeholder:"CIDR" help:"Proxies whose X-Forwarded-For is believed."`
	MetricsListen       string   `placeholder:"HOST:PORT" help:"Serve /metrics here, and /healthz and /readyz here as well. The API's address has no /metrics; a worker has no other address."`
	LimitConsents       int      `default:"1000" placeholder:"N" help:"How many consents one caller may have open at once."`
	LimitConsentsOrg    int      `default:"10000" placeholder:"N" help:"How many consents one organisation may have open at once."`
	LimitConsentsPerson int      `default:"20" placeholder:"N" help:"How many consents one person may have open at once who began them in the pages."`
	LimitRequests       int      `default:"2000" placeholder:"N" help:"How many requests of one caller may be answered at once in one process."`
	LimitRequestsOrg    int      `default:"10000" placeholder:"N" help:"How many requests of one organisation may be answered at once in one process."`
	LimitWaiting        int      `default:"200" placeholder:"N" help:"How many requests of one caller may wait at once in one process."`
	LimitWaitingOrg     int      `default:"1000" placeholder:"N" help:"How many requests of one organisation may wait at once in one process."`
	LimitImports        int      `default:"600" placeholder:"N" help:"How many tokens one caller may import within a minute in one process."`
	LimitImportsOrg     int      `default:"3000" placeholder:"N" help:"How many tokens one organisation may import within a minute in one process."`
	LimitChecks         int      `default:"600" placeholder:"N" help:"How many tokens one caller may have checked within a minute in one process."`
	LimitChecksOrg      int      `default:"3000" placeholder:"N" help:"How many tokens one organisation may have checked within a minute in one process."`

	LimitFailures int           `default:"300" placeholder:"N" help:"How many failed authentications of one address (IPv4, or 64 bits of IPv6) within a minute are answered 401, and not 429, by one process."`
	LimitBodyTime time.Duration `default:"10s" placeholder:"TIME" help:"How long the body of a request may take to arrive."`

	LogLevel  string `default:"info" placeholder:"LEVEL" help:"debug, info, warn or error."`
	LogFormat string `default:"text" placeholder:"FORMAT" help:"text or json."`

	AllowAsyncCommit bool          `help:"Accept a PostgreSQL with synchronous_commit=off, which may lose refresh tokens in a crash."`
	TokensByAdmins   bool          `help:"Let admins make API tokens of the roles admin and service over the API, and not of the role user only."`
	DrainDelay       time.Duration `default:"1s" placeholder:"TIME" help:"How long /readyz says 503 before the API stops accepting, so that a load balancer sees it."`

	FetchConnections   int `default:"1" placeholder:"N" help:"How many connections to PostgreSQL a process has for fetching tokens alone: 1, or 2 where the database is far away."`
	RefreshConcurrency int `default:"512" placeholder:"N" help:"How many refreshes a process has under way at once; of one provider a third of them."`
	RevokeConcurrency  int `default:"32" placeholder:"N" help:"How many revocations of each organisation a process has in flight at once."`

	KeepFlows      time.Duration `default:"24h" placeholder:"TIME" help:"How long consents that ended are kept."`
	KeepTombstones time.Duration `default:"7d" placeholder:"TIME" help:"How long a single revocation is tried, and then remembered."`
	KeepSuperseded time.Duration `default:"90d" placeholder:"TIME" help:"How long tokens are kept whose provider is gone while another authorization depends on their grant."`
	KeepDead       time.Duration `default:"90d" placeholder:"TIME" help:"How long tokens are kept whose person must authorize again and does not."`
	KeepJobs       time.Duration `default:"30d" placeholder:"TIME" help:"How long finished jobs and their items are kept."`
	KeepAudit      time.Duration `default:"365d" placeholder:"TIME" help:"How long audit events are kept, and counts of token fetches."`
	KeepStatistics time.Duration `default:"400d" placeholder:"TIME" help:"How long what was counted of each day is kept, for the statistics."`
	KeepMinutes    time.Duration `default:"30d" placeholder:"TIME" help:"How long token fetches are counted by the minute. Older counts are added up by day."`

	origin  map[string]string // where each setting comes from, by flag
	misread map[string]string // what is wrong with variables that could not be read, by flag
	unknown []string          // what is wrong with variables that are no settings
}

// variable names the environment variable of a setting.
func variable(flag string) string {
	return "GRANTD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func isSetting(f *kong.Flag) bool { return f.Group != nil && f.Group.Key == "settings" }

// ofConnection reports whether a flag says which grantd a client's command asks.
func ofConnection(f *kong.Flag) bool { return f.Group != nil && f.Group.Key == "connection" }

// withVariable adds a setting's variable and default to its help.
func withVariable(v *kong.Value) string {
	if v.Flag == nil || !isSetting(v.Flag) && !ofConnection(v.Flag) {
		return v.Help
	}
	note := "$" + variable(v.Name)
	if v.HasDefault {
		note += ", default " + v.Default
	}
	return v.Help + " [" + note + "]"
}

// origins tells which settings were given, and how.
func origins(parsed *kong.Context, env *environment) map[string]string {
	from := map[string]string{}
	for _, p := range parsed.Path {
		switch {
		case p.Flag == nil:
		case p.Resolved:
			from[p.Flag.Name] = "environment"
		default:
			from[p.Flag.Name] = "flag"
			delete(env.misread, p.Flag.Name) // the flag wins
		}
	}
	return from
}

// complete derives the defaults that depend on other settings.
func (c *Config) complete(origin map[string]string) {
	c.origin = origin
	if c.DatabaseURL == "" {
		c.DatabaseURL = "sqlite:" + filepath.Join(c.Data, "grantd.db")
	}
	if c.Keyset == "" && !c.postgres() {
		c.Keyset = filepath.Join(c.Data, "keyset.json")
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	if c.PublicURL == "" {
		c.PublicURL = urlOf(c.Listen)
	}
	for _, list := range []*[]string{&c.UpstreamAllow, &c.WebhookAllow, &c.RedirectAllow, &c.TrustedProxies, &c.SigninScopes, &c.SigninOrgs, &c.SigninRequire} {
		*list = slices.DeleteFunc(trimmed(*list), func(s string) bool { return s == "" })
	}
}

// given reports whether a setting is not left to its default.
func (c *Config) given(flag string) bool { return c.origin[flag] != "" }

func trimmed(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.TrimSpace(s)
	}
	return out
}

// urlOf is how this machine reaches a server that listens on addr: one that
// listens on every address is reached on localhost.
func urlOf(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "http://" + addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

func (c *Config) postgres() bool {
	return strings.HasPrefix(c.DatabaseURL, "postgres://") || strings.HasPrefix(c.DatabaseURL, "postgresql://")
}

// sqlitePath is the database's file, "" on PostgreSQL.
func (c *Config) sqlitePath() string {
	path, ok := strings.CutPrefix(c.DatabaseURL, "sqlite:")
	if !ok {
		return ""
	}
	return path
}

// validate says everything that is wrong with the settings, each by its
// variable, and what the command finds wrong beyond that. No value is repeated
// that may hold a password.
func (c *Config) validate(more ...error) error {
	var wrong []error
	judge := func(flag string, problem string) {
		if problem != "" {
			wrong = append(wrong, fmt.Errorf("%s: %s", variable(flag), problem))
		}
	}
	for _, flag := range slices.Sorted(maps.Keys(c.misread)) {
		judge(flag, c.misread[flag])
	}
	judge("listen", judgeAddress(c.Listen))
	judge("public-url", judgePublicURL(c.PublicURL))
	judge("data", judgeData(c.Data))
	judge("database-url", judgeDatabaseURL(c.DatabaseURL))
	judge("redis-url", judgeRedisURL(c.RedisURL))
	if _, err := c.kek(c.KeysetKEK); err != nil {
		judge("keyset-kek", err.Error())
	}
	judge("keyset-context", judgeKeysetContext(c.KeysetContext))
	judge("upstream-allow", each(c.UpstreamAllow, judgeUpstream))
	judge("webhook-allow", each(c.WebhookAllow, judgeUpstream))
	judge("redirect-allow", each(c.RedirectAllow, judgeOrigin))
	judge("test-provider", optional(c.TestProvider, judgeTestProvider))
	c.judgeSignIn(judge)
	if _, err := c.trustedIssuers(); err != nil {
		judge("issuers", err.Error())
	}
	c.judgeBrand(judge)
	judge("trusted-proxies", each(c.TrustedProxies, judgeProxy))
	judge("metrics-listen", optional(c.MetricsListen, judgeAddress))
	judge("log-level", oneOf(c.LogLevel, "debug", "info", "warn", "error"))
	judge("log-format", oneOf(c.LogFormat, "text", "json"))
	for flag, n := range c.counts() {
		judge(flag, judgeLimit(n))
	}
	judge("limit-body-time", judgeBodyTime(c.LimitBodyTime))
	judge("drain-delay", judgeDrainDelay(c.DrainDelay))
	judge("fetch-connections", judgeFetchConnections(c.FetchConnections))
	judge("refresh-concurrency", judgeRefreshes(c.RefreshConcurrency))
	judge("revoke-concurrency", judgeConcurrency(c.RevokeConcurrency))
	judge("keep-flows", judgeRetention(c.KeepFlows))
	judge("keep-tombstones", judgeRetention(c.KeepTombstones))
	judge("keep-superseded", judgeRetention(c.KeepSuperseded))
	judge("keep-dead", judgeRetention(c.KeepDead))
	judge("keep-jobs", judgeRetention(c.KeepJobs))
	judge("keep-audit", judgeRetention(c.KeepAudit))
	judge("keep-minutes", judgeMinutes(c.KeepMinutes))
	if err := errors.Join(append(wrong, more...)...); err != nil {
		return usageError{err}
	}
	return nil
}

// needKeyset is for the commands that open secrets. With PostgreSQL the keyset
// has no default: it must be the same file for every process, and none of them
// may make one of its own.
func (c *Config) needKeyset() error {
	if c.Keyset == "" {
		return errors.New("GRANTD_KEYSET: must name the keyset's file when the database is PostgreSQL; make one with `grantd keys init`")
	}
	return nil
}

// needShared is for the commands that are one process of several.
func (c *Config) needShared(command string) error {
	const format = "%s: `grantd %s` shares it with other processes, so it cannot be %s; give a %s URL, " +
		"or run `grantd serve`, which is API and worker in one"
	var wrong []error
	if c.RedisURL == "memory:" {
		wrong = append(wrong, fmt.Errorf(format, "GRANTD_REDIS_URL", command, "memory:", "redis://"))
	}
	if c.sqlitePath() != "" {
		wrong = append(wrong, fmt.Errorf(format, "GRANTD_DATABASE_URL", command, "SQLite", "postgres://"))
	}
	return errors.Join(wrong...)
}

// each returns what is wrong with the first bad entry of a list.
func each(list []string, judge func(string) string) string {
	for _, entry := range list {
		if problem := judge(entry); problem != "" {
			return problem
		}
	}
	return ""
}

// optional judges a setting that may be left out.
func optional(value string, judge func(string) string) string {
	if value == "" {
		return ""
	}
	return judge(value)
}

func oneOf(value string, allowed ...string) string {
	if slices.Contains(allowed, value) {
		return ""
	}
	return fmt.Sprintf("%q is not one of %s", value, strings.Join(allowed, ", "))
}

func judgeAddress(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && validPort(port) && !strings.ContainsAny(host, "/ ") {
		return ""
	}
	return fmt.Sprintf("%q is not host:port, such as 127.0.0.1:8080, or :8080 for every address", addr)
}

func validPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func judgePublicURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "must be an http or https URL without user, query or fragment, such as https://grantd.example.com"
	}
	return ""
}

func judgeData(dir string) string {
	if dir == "" {
		return "must name a folder"
	}
	return ""
}

func judgeDatabaseURL(raw string) string {
	scheme, rest, _ := strings.Cut(raw, ":")
	switch {
	case scheme == "sqlite" && strings.HasPrefix(rest, "//"):
		return "a SQLite database is sqlite:PATH, without //, such as sqlite:/var/lib/grantd/grantd.db"
	case scheme == "sqlite" && rest != "",
		(scheme == "postgres" || scheme == "postgresql") && strings.HasPrefix(rest, "//"):
		return ""
	}
	return "must be sqlite:PATH or postgres://user:password@host/database"
}

// judgeRedisURL looks at the scheme only: jobs.OpenRedis knows the rest.
func judgeRedisURL(raw string) string {
	scheme, _, _ := strings.Cut(raw, "://")
	if raw == "memory:" || slices.Contains([]string{"redis", "rediss", "redis-sentinel"}, scheme) {
		return ""
	}
	return "must be memory:, redis://host:port/db, rediss://… or redis-sentinel://host:port,host:port/master"
}

func judgeDrainDelay(d time.Duration) string {
	if d < 0 || d > time.Minute {
		return "must be between 0s and 1m"
	}
	return ""
}

func judgeFetchConnections(n int) string {
	if n < 1 || n > store.MaxFetchConns {
		return fmt.Sprint("must be between 1 and ", store.MaxFetchConns)
	}
	return ""
}

// judgeConcurrency knows the least that makes sense, and the most that a process and
// its database connections have been tried with.
func judgeConcurrency(n int) string {
	if n < 1 || n > 256 {
		return "must be between 1 and 256"
	}
	return ""
}

// judgeRefreshes knows that each refresh under way has a connection to its upstream.
func judgeRefreshes(n int) string {
	if n < 1 || n > 4096 {
		return "must be between 1 and 4096"
	}
	return ""
}

func judgeRetention(d time.Duration) string {
	if d < time.Hour {
		return "must be 1h or longer"
	}
	return ""
}

// judgeMinutes keeps the minutes that tell which tokens are in use.
func judgeMinutes(d time.Duration) string {
	if d < 24*time.Hour {
		return "must be 1d or longer"
	}
	return ""
}

// judgeUpstream finds what is plainly no host; providers.New is stricter.
func judgeUpstream(entry string) string {
	if _, err := netip.ParsePrefix(entry); err == nil {
		return ""
	}
	if _, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(entry)
	if err != nil {
		host, port = entry, "443"
	}
	if _, err := netip.ParseAddr(host); err == nil && validPort(port) {
		return ""
	}
	if host == "" || !validPort(port) || strings.ContainsAny(host, "/@:?#*% ") {
		return fmt.Sprintf("%q is not a host, host:port or CIDR, such as git.example.com, localhost:9000 or 10.0.0.0/8", entry)
	}
	return ""
}

func judgeOrigin(entry string) string {
	u, err := url.Parse(entry)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && entry == u.Scheme+"://"+u.Host &&
		entry == strings.ToLower(entry) {
		return ""
	}
	return fmt.Sprintf("%q is not an origin: lower-case scheme and host, a port if it is not the usual one, no path, "+
		"such as https://app.example.com", entry)
}

func judgeTestProvider(raw string) string {
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil &&
		u.Path == "" && u.RawQuery == "" && u.Fragment == "" {
		return ""
	}
	return "must be the base URL of a test authorization server, such as http://127.0.0.1:9000"
}

func judgeProxy(entry string) string {
	if _, err := parseProxy(entry); err != nil {
		return fmt.Sprintf("%q is not an IP address or CIDR, such as 10.0.0.0/8", entry)
	}
	return ""
}

// parseProxy takes a lone address for the network that holds nothing else.
func parseProxy(entry string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(entry); err == nil {
		return addr.Prefix(addr.BitLen())
	}
	return netip.ParsePrefix(entry)
}
