package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/grantd/grantd/models"
)

// bearers compares the ways in which a service gets the fresh tokens of many people: with an API token, with a JWT of a
// trusted issuer, and by the standard exchange. All take turns at one process, with the same authorizations.
func (b *bench) bearers(ctx context.Context, r *report) error {
	h, err := b.build(ctx, b.binary)
	if err != nil {
		return err
	}
	defer h.close()
	w, err := h.serve(ctx, b.authorizations)
	if err != nil {
		return err
	}
	if err := b.compare(ctx, w.all()...); err != nil {
		return err
	}
	r.bearers(w, b.options)
	return b.openAtMost(ctx, r, "bearers", "of people for a service", w.apiToken, w.jwt, w.exchange)
}

// ways are the contenders: services that ask for the same people's tokens in several ways.
type ways struct {
	apiToken, jwt               *contender // on the token route
	exchange, jwtExchange, self *contender // by the standard exchange
}

func (w ways) all() []*contender {
	return []*contender{w.apiToken, w.jwt, w.exchange, w.jwtExchange, w.self}
}

// serve starts an API that trusts an issuer, stores an authorization of each of n people, and prepares what is asked.
func (h *instance) serve(ctx context.Context, n int) (w ways, err error) {
	i, err := newIssuer(filepath.Dir(h.Keyset))
	if err != nil {
		return w, err
	}
	h.Env = append(h.Env, "GRANTD_ISSUERS="+i.file)
	api, err := h.Start(ctx, "api")
	if err != nil {
		return w, err
	}
	h.running = append(h.running, api)
	people, err := h.storeFor(ctx, api.URL, n, madeUp, person)
	if err != nil {
		return w, err
	}
	token, err := h.Token(ctx, "acme", "app-reports", models.RoleService, people.provider.Slug)
	if err != nil {
		return w, err
	}
	jwt, err := i.bearer("reports", "service")
	if err != nil {
		return w, err
	}
	subjects := make([]string, people.copies)
	for one := range subjects {
		if subjects[one], err = i.bearer(person(one), "person"); err != nil {
			return w, err
		}
	}
	route := func(bearer string) [][]byte {
		requests := make([][]byte, people.copies)
		for one := range requests {
			requests[one] = request("POST", tokenPath(people.authorization(one))+"?userId="+person(one), bearer)
		}
		return requests
	}
	contender := func(name string, requests [][]byte) *contender {
		return &contender{name: name, short: strings.ToLower(strings.ReplaceAll(name, " ", "-")), pid: api.PID(), base: api.URL, requests: requests}
	}
	audience := people.provider.Slug
	w.apiToken = contender("API token", route(token.Reveal()))
	w.jwt = contender("JWT", route(jwt))
	w.exchange = contender("exchange", exchanges(subjects, audience, func(string) string { return basic(token.Reveal()) }))
	w.jwtExchange = contender("exchange by JWT", exchanges(subjects, audience, func(string) string { return "Bearer " + jwt }))
	w.self = contender("exchange by subject", exchanges(subjects, audience, func(subject string) string { return "Bearer " + subject }))
	return w, nil
}

func person(i int) string { return fmt.Sprint("person-", i) }

// exchanges asks for the token of each subject at a provider. client is what the client authenticates with.
func exchanges(subjects []string, audience string, client func(subject string) string) [][]byte {
	requests := make([][]byte, len(subjects))
	for i, subject := range subjects {
		form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "audience": {audience},
			"subject_token": {subject}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}}.Encode()
		requests[i] = fmt.Appendf(nil, "POST /oauth2/token HTTP/1.1\r\nHost: bench\r\nAuthorization: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
			client(subject), len(form), form)
	}
	return requests
}

// basic authenticates a client of OAuth by its API token, whose id is its client_id.
func basic(token string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(token, "grd_"), "_")
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+url.QueryEscape(token)))
}

// issuer signs bearer tokens of the services and people of an instance.
type issuer struct {
	signer jose.Signer
	file   string // for GRANTD_ISSUERS
}

const (
	issuerURL      = "https://platform.bench.test"
	issuerAudience = "https://grantd.bench.test"
)

// newIssuer makes a key, and writes to a folder what an instance trusts.
func newIssuer(folder string) (*issuer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key := jose.JSONWebKey{Key: private, KeyID: "bench", Algorithm: string(jose.ES256), Use: "sig"}
	i := &issuer{file: filepath.Join(folder, "issuers.json")}
	if i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, new(jose.SignerOptions).WithType("JWT")); err != nil {
		return nil, err
	}
	keys := filepath.Join(folder, "keys.json")
	entry := func(name, kind string, role models.Role, changes map[string]any) map[string]any {
		all := map[string]any{"name": name, "issuer": issuerURL, "jwksFile": keys, "algorithms": []string{"ES256"}, "audience": issuerAudience,
			"organisation": "acme", "user": "sub", "role": role, "rules": []map[string]string{{"claim": "kind", "equals": kind}}}
		for name, value := range changes {
			all[name] = value
		}
		return all
	}
	err = writeJSON(keys, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err == nil {
		err = writeJSON(i.file, map[string]any{"issuers": []any{
			entry("services", "service", models.RoleService, map[string]any{"providers": []string{"test"}}),
			entry("people", "person", models.RoleUser, map[string]any{"users": "shared"}),
		}})
	}
	return i, err
}

func writeJSON(file string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o600)
}

// bearer is a token with the claims that platforms give theirs.
func (i *issuer) bearer(sub, kind string) (string, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"iss": issuerURL, "aud": issuerAudience, "sub": sub, "kind": kind, "jti": fmt.Sprintf("%s-%d", sub, now.UnixNano()),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(2 * time.Hour).Unix()})
	if err != nil {
		return "", err
	}
	signed, err := i.signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (r *report) bearers(w ways, o options) {
	f := map[*contender]figures{}
	for _, c := range w.all() {
		f[c] = c.figures(o.round)
	}
	against := func(what string, c *contender) row {
		return row{what: what, ours: perSecond(f[c]), bare: perSecond(f[w.apiToken])}
	}
	tail := func(c *contender) row {
		return row{what: "– its p99", ours: ms(f[c].p99), bare: ms(f[w.apiToken].p99)}.compared(ratio(f[c].p99, f[w.apiToken].p99))
	}
	spent := func(c *contender) row {
		return row{what: "– its CPU time of the server", ours: us(f[c].cpu), bare: us(f[w.apiToken].cpu)}.compared(ratio(f[c].cpu, f[w.apiToken].cpu))
	}
	r.missedJWT, r.missedExchange = w.jwt.against(w.apiToken) < leastOfBearer, w.exchange.against(w.apiToken) < leastOfExchange
	r.add(
		against(fmt.Sprintf("fresh tokens of %d people for a service: a JWT of a trusted issuer, against an API token", o.authorizations), w.jwt).
			atLeast(w.jwt.against(w.apiToken), leastOfBearer), tail(w.jwt), spent(w.jwt),
		against("– the standard exchange of people's JWTs by an API token, against the token route", w.exchange).
			atLeast(w.exchange.against(w.apiToken), leastOfExchange), tail(w.exchange), spent(w.exchange),
		against("– the same by a JWT", w.jwtExchange).compared(w.jwtExchange.against(w.apiToken)),
		against("– the same by the subject itself", w.self).compared(w.self.against(w.apiToken)),
	)
}
