package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
)

// issuersFile is what GRANTD_ISSUERS names: the issuers whose bearer tokens are accepted.
type issuersFile struct {
	Issuers []json.RawMessage `json:"issuers"`
}

// issuerEntry is one of its entries.
type issuerEntry struct {
	Name           string        `json:"name"`
	Issuer         string        `json:"issuer"`
	Discovery      bool          `json:"discovery"`
	JWKSURL        string        `json:"jwksUrl"`
	JWKSFile       string        `json:"jwksFile"`
	CAFile         string        `json:"caFile"`
	TokenFile      string        `json:"tokenFile"`
	Algorithms     []string      `json:"algorithms"`
	Audience       string        `json:"audience"`
	SharedAudience bool          `json:"sharedAudience"`
	Organisation   string        `json:"organisation"`
	User           string        `json:"user"`
	Users          string        `json:"users"`
	Role           models.Role   `json:"role"`
	Providers      []string      `json:"providers"`
	Rules          []issuersRule `json:"rules"`
	MaxAge         string        `json:"maxAge"`
}

// issuersRule is what a claim must be.
type issuersRule struct {
	Claim  string `json:"claim"`
	Equals string `json:"equals"`
	Prefix string `json:"prefix"`
}

const (
	maxIssuersFile = 1 << 20
	defaultMaxAge  = "24h"
)

// timesAndParties are claims that do not identify whom a token authenticates.
var timesAndParties = []string{"iss", "aud", "exp", "nbf", "iat", "jti"}

// trustedIssuers reads the file. An error names each entry and field that is wrong.
func (c *Config) trustedIssuers() ([]broker.TrustedIssuer, error) {
	if c.Issuers == "" {
		return nil, nil
	}
	raw, err := readSmall(c.Issuers)
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	var file issuersFile
	if err := decodeStrictly(raw, &file); err != nil {
		return nil, fmt.Errorf(`the file must be JSON, {"issuers": [ … ]}: %w`, err)
	}
	var wrong []error
	var all []broker.TrustedIssuer
	for n, one := range file.Issuers {
		t, problems := c.trustedIssuer(one, all)
		for _, p := range problems {
			wrong = append(wrong, fmt.Errorf("entry %s: %w", cmp.Or(t.Name, fmt.Sprint(n+1)), p))
		}
		all = append(all, t)
	}
	return all, errors.Join(wrong...)
}

// readSmall reads a file of settings, which is no longer than a person writes.
func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, plainPathError(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxIssuersFile+1))
	if err == nil && len(raw) > maxIssuersFile {
		err = errors.New("it is longer than 1 MiB")
	}
	return raw, plainPathError(err)
}

// plainPathError is what is wrong with a file, without its name.
func plainPathError(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return err
}

// decodeStrictly refuses fields that it does not know, and what follows the value.
func decodeStrictly(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	return nil
}

// trustedIssuer reads an entry, and says everything that is wrong with it, each by its field. before are the entries
// above it.
func (c *Config) trustedIssuer(raw json.RawMessage, before []broker.TrustedIssuer) (broker.TrustedIssuer, []error) {
	e := issuerEntry{User: "sub", Users: "prefixed", Role: models.RoleUser, MaxAge: defaultMaxAge, Algorithms: []string{"RS256", "ES256"}}
	if err := decodeStrictly(raw, &e); err != nil {
		var named struct {
			Name string `json:"name"`
		}
		_ = json.Unmarshal(raw, &named) // for the message alone
		return broker.TrustedIssuer{Name: named.Name}, []error{err}
	}
	var wrong []error
	judge := func(field, problem string) {
		if problem != "" {
			wrong = append(wrong, fmt.Errorf("%s: %s", field, problem))
		}
	}
	t := broker.TrustedIssuer{Name: e.Name, Audience: e.Audience, SharedAudience: e.SharedAudience, Org: e.Organisation,
		User: broker.UserClaim{Template: e.User, Shared: e.Users == "shared"}, Role: e.Role, Providers: e.Providers,
		Keys: providers.KeySource{Issuer: e.Issuer, URL: e.JWKSURL, File: e.JWKSFile, TokenFile: e.TokenFile, Algorithms: e.Algorithms}}
	switch {
	case !models.ValidIssuerName(e.Name):
		judge("name", "must be 1 to 32 of the characters a-z 0-9 -, such as ci")
	case slices.ContainsFunc(before, func(other broker.TrustedIssuer) bool { return other.Name == e.Name }):
		judge("name", "is the name of another entry too")
	}
	judge("issuer", c.judgeTrusted(e))
	c.judgeKeys(e, &t.Keys, judge)
	if e.Audience == "" {
		judge("audience", "must be what the tokens' aud has for this service, such as the public URL")
	}
	if !models.ValidIdentity(e.Organisation) {
		judge("organisation", "must be an organisation's name, 1 to 128 of the characters A-Z a-z 0-9 . _ @ + -")
	}
	judge("user", judgeUserClaim(t.User))
	judge("users", oneOf(e.Users, "prefixed", "shared"))
	e.judgeRole(judge)
	t.Rules = e.judgeRules(judge)
	var err error
	if t.MaxAge, err = parseDuration(e.MaxAge); err != nil {
		judge("maxAge", err.Error())
	} else if t.MaxAge < time.Minute || t.MaxAge > 30*24*time.Hour {
		judge("maxAge", "must be between 1m and 30d")
	}
	return t, wrong
}

// judgeTrusted judges the issuer's URL. One whose keys are elsewhere is not called, so that it may be plain http.
func (c *Config) judgeTrusted(e issuerEntry) string {
	issuer := e.Issuer
	if plain, ok := strings.CutPrefix(issuer, "http://"); ok && !e.Discovery {
		issuer = "https://" + plain
	}
	return c.judgeIssuerURL(issuer)
}

// judgeKeys judges where the keys come from, and reads the certificates.
func (c *Config) judgeKeys(e issuerEntry, keys *providers.KeySource, judge func(field, problem string)) {
	sources := 0
	for _, given := range []bool{e.Discovery, e.JWKSURL != "", e.JWKSFile != ""} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		judge("discovery, jwksUrl, jwksFile", "exactly one of them must say where the keys are")
	}
	for _, name := range e.Algorithms {
		judge("algorithms", oneOf(name, providers.SignatureAlgorithms()...))
	}
	if len(e.Algorithms) == 0 {
		judge("algorithms", "must not be empty")
	}
	for field, name := range map[string]string{"jwksFile": e.JWKSFile, "caFile": e.CAFile, "tokenFile": e.TokenFile} {
		switch {
		case name == "":
		case field != "jwksFile" && e.JWKSFile != "":
			judge(field, "has no effect beside jwksFile")
		default:
			raw, err := readSmall(name)
			if err != nil {
				judge(field, "the file cannot be read: "+err.Error())
			}
			if field == "caFile" {
				keys.CA = string(raw)
			}
		}
	}
}

func judgeUserClaim(u broker.UserClaim) string {
	claims, err := u.Claims()
	if err != nil {
		return err.Error()
	}
	return each(claims, judgeClaim)
}

func (e issuerEntry) judgeRole(judge func(field, problem string)) {
	switch e.Role {
	case models.RoleUser:
	case models.RoleService:
		if len(e.Providers) == 0 {
			judge("providers", "must name the providers that the service may use, by slug or id")
		}
		if e.Users == "shared" {
			judge("users", "has no effect on a service, whose requests name the users that they are for")
		}
	case models.RoleAdmin:
		judge("role", "must be user or service: nobody is an admin by a bearer token")
	default:
		judge("role", "must be user or service")
	}
	judge("providers", each(e.Providers, func(name string) string {
		if name == "" || models.Unprintable(name) > 0 {
			return fmt.Sprintf("%q is neither the slug nor the id of a provider", name)
		}
		return ""
	}))
	if len(e.Providers) > broker.MaxLimits {
		judge("providers", fmt.Sprintf("must name at most %d providers", broker.MaxLimits))
	}
}

// judgeRules reads the rules. An issuer that serves many customers needs one that fixes the customer.
func (e issuerEntry) judgeRules(judge func(field, problem string)) []broker.Rule {
	var rules []broker.Rule
	for n, r := range e.Rules {
		field := fmt.Sprintf("rules[%d]", n)
		switch {
		case r.Claim == "" || (r.Equals == "") == (r.Prefix == ""):
			judge(field, "must have claim, and either equals or prefix")
		case slices.Contains(timesAndParties, r.Claim):
			judge(field, "the claim "+r.Claim+" does not tell one bearer from another")
		case r.Prefix != "" && !strings.HasSuffix(r.Prefix, "/") && !strings.HasSuffix(r.Prefix, ":"):
			judge(field, fmt.Sprintf("a prefix must end in / or :, or it fits %q too", r.Prefix+"-and-others"))
		}
		rules = append(rules, broker.Rule{Claim: r.Claim, Value: cmp.Or(r.Equals, r.Prefix), Prefix: r.Prefix != ""})
	}
	if len(rules) == 0 {
		judge("rules", "at least one must say which of the issuer's bearers are meant")
	}
	shared, ok := sharedIssuerOf(e.Issuer)
	customer := shared.customer
	if customer == nil {
		customer = []string{shared.claim}
	}
	fixed := slices.ContainsFunc(rules, func(r broker.Rule) bool { return !r.Prefix && slices.Contains(customer, r.Claim) })
	if ok && !fixed {
		judge("rules", "the issuer serves many customers, so one rule must fix the customer by an id that never changes: equals for "+strings.Join(customer, " or "))
	}
	return rules
}

// followIssuers reads the file again at each SIGHUP. A file that is wrong changes nothing.
func (in *instance) followIssuers(cfg *Config) {
	if cfg.Issuers == "" {
		return
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				in.reloadIssuers(ctx, cfg)
			}
		}
	}()
	in.onStop("reading trusted issuers", func(context.Context) error {
		signal.Stop(hangups)
		cancel()
		<-done
		return nil
	})
}

func (in *instance) reloadIssuers(ctx context.Context, cfg *Config) {
	list, err := cfg.trustedIssuers()
	if err == nil {
		err = in.service.TrustIssuers(ctx, list)
	}
	if err != nil {
		in.log.Error("GRANTD_ISSUERS was not read again; the issuers from before stay in force", "error", err)
		return
	}
	in.log.Info("GRANTD_ISSUERS was read again", "entries", len(list))
	cfg.warnOfIssuers(in.log, list)
}
