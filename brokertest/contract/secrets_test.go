package contract_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/traces"
)

// A whole story with everything that can go wrong, after which neither a dump of
// the database, nor the log, nor any answer tells a secret: client secrets, API
// tokens, access and refresh tokens, codes, verifiers, states, device codes. What
// is handed out on purpose is the access token in a token's answer, the state of
// authorize, and a device's handle.
func TestNothingTellsASecret(t *testing.T) {
	t.Parallel()
	timing := broker.Timing{Backoff: time.Millisecond}
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		spans := tracetest.NewSpanRecorder()
		h, s := spied(t, brokertest.Options{Backend: b, Timing: timing, Traces: traces.New(sdktrace.WithSpanProcessor(spans))})
		story := &story{t: t, h: h, s: s}
		for _, who := range []brokertest.Person{h.Admin, h.User, h.Colleague, h.Other} {
			s.learn("API token", secret(who.Token))
			s.learn("API token", secret(who.Token)[len("grd_"+who.Caller.TokenID+"_"):])
		}
		s.learn("client_secret", brokertest.ClientSecret)
		s.learn("made-up", madeUp)

		var kept string
		for _, typ := range []string{"test", "github"} {
			kept = story.tell(typ)
		}
		story.checkDump("with everything in use", kept)
		story.end()
		story.checkDump("at the end", "")
		story.checkLog()
		story.checkTraces(b, spans)
		story.checkAnswers()
		story.checkTheCheck()
		want := []string{"API token", "access_token", "client_secret", "code", "code_verifier", "credentials", "device handle", "device_code", "made-up", "refresh_token", "state"}
		if got := s.kinds(); !slices.Equal(got, want) {
			t.Errorf("the kinds of secrets met are %v, want %v", got, want)
		}
	})
}

// madeUp is what clients put where it does not belong.
const madeUp = "hunter2-%-made/up+secret"

type story struct {
	t *testing.T
	h *brokertest.Instance
	s *spy

	answers, authorizes strings.Builder
	providers           []string
}

// do sends a request and keeps the answer.
func (s *story) do(who brokertest.Person, method, path string, body any) brokertest.Answer {
	s.t.Helper()
	return s.keep(path, s.h.Do(s.t, who, method, path, body))
}

func (s *story) keep(path string, a brokertest.Answer) brokertest.Answer {
	handedOut := a.Status == 201 && (strings.Contains(path, "/token") || strings.Contains(path, "/accessToken") || strings.HasSuffix(path, "/device/"))
	into := &s.answers
	if strings.Contains(path, "/authorize") {
		into = &s.authorizes
	}
	if !handedOut {
		fmt.Fprintf(into, "%s\n%s\n", a.Header, a.Body)
	}
	return a
}

// tell plays one provider's story and returns its name.
func (s *story) tell(typ string) string {
	t, h := s.t, s.h
	name := "Kept in plain text " + typ
	body := newProvider(object{"type": typ, "name": name, "config": object{"device": true}})
	if typ == "github" {
		body["metadata"] = object{"host": h.IdPURL}
	}
	p := text(t, want(t, 201, s.do(h.Admin, "POST", root+"providers/", body)), "id")
	s.providers = append(s.providers, p)
	s.malformed(p)

	a := s.consents(p)
	s.devices(p)
	want(t, 201, s.do(h.User, "POST", tokenOf(a), nil))
	want(t, 200, s.do(h.User, "GET", userinfoOf(a), nil))
	change(t, h, tokensHaveDied)
	want(t, 201, s.do(h.User, "POST", authorization(a)+"accessToken/", nil))
	s.underSuspicion(p, a)
	s.echoes(p, a)
	want(t, 201, s.do(h.User, "POST", tokenOf(a), nil))
	want(t, 200, s.do(h.Admin, "PATCH", provider(p), object{"clientSecret": brokertest.ClientSecret, "name": name}))
	return name
}

// underSuspicion does what an admin may do to a token without seeing it, and takes in
// one from elsewhere.
func (s *story) underSuspicion(p, a string) {
	t, h := s.t, s.h
	want(t, 200, s.do(h.Admin, "POST", checkOf(a), nil))
	want(t, 201, s.do(h.Admin, "POST", resetOf(a), nil))
	want(t, 200, s.do(h.User, "DELETE", tokenOf(a), nil))
	_, refresh := h.IdP.Mint(brokertest.ClientID, "linus")
	s.s.learn("refresh_token", refresh)
	want(t, 422, s.do(h.User, "POST", importAt, object{"providerId": p, "refreshToken": refresh, "accessToken": refresh}))
	want(t, 422, s.do(h.User, "POST", importAt, object{"providerId": p, "refreshToken": []string{refresh}}))
	want(t, 200, s.do(h.User, "POST", importAt, object{"providerId": p, "refreshToken": refresh}))
	want(t, 400, s.do(h.Colleague, "POST", importAt, object{"providerId": p, "refreshToken": refresh}))
}

func (s *story) approved(p, account string) object {
	t, h := s.t, s.h
	begun := want(t, 200, s.do(h.User, "POST", authorizeAt(p)+"?redirect_uri="+url.QueryEscape(brokertest.Callback), nil))
	back := h.Approve(t, answerOf(t, begun), account)
	return object{"providerId": p, "state": back.State.Reveal(), "code": secret(back.Code)}
}

// consents goes the way to an authorization with every wrong turn.
func (s *story) consents(p string) string {
	t, h := s.t, s.h
	good := s.approved(p, "ada")
	for name, value := range map[string]any{"code": []any{good["code"]}, "iss": good["code"], "error": good["code"], "session": good["code"],
		"state": object{"x": good["state"]}, "error_description": nil} {
		wrong := decoded(t, good)
		wrong[name] = value
		if name == "iss" {
			delete(wrong, "state")
		}
		s.do(h.User, "POST", callback, wrong)
	}
	s.do(h.User, "POST", callback, fmt.Sprintf(`{"providerId":%q,"state":%q,"code":%q`, p, good["state"], good["code"]))
	s.do(h.User, "POST", callback+"?"+url.Values{"code": {good["code"].(string)}, "state": {good["state"].(string)}}.Encode(), "")
	s.do(h.User, "GET", provider(p)+"?"+url.Values{"code": {good["code"].(string)}, "state": {good["state"].(string)}}.Encode(), nil)
	s.do(h.Colleague, "POST", callback, good)
	done := want(t, 200, s.do(h.User, "POST", callback, good))
	want(t, 400, s.do(h.User, "POST", callback, good))

	denied := s.approved(p, "grace")
	want(t, 400, s.do(h.User, "POST", callback, object{"providerId": p, "state": denied["state"], "error": madeUp, "error_description": denied["code"]}))
	bad := s.approved(p, "grace")
	bad["code"] = madeUp
	want(t, 400, s.do(h.User, "POST", callback, bad))
	foreign := s.approved(p, "grace")
	foreign["iss"] = "https://" + url.QueryEscape(madeUp)
	want(t, 400, s.do(h.User, "POST", callback, foreign))
	return text(t, done["authorizedProvider"].(object), "id")
}

// device begins a consent on another device and returns how to poll for it.
func (s *story) device(p string) (poll object, userCode string) {
	begun := want(s.t, 201, s.do(s.h.User, "POST", deviceAt(p), nil))
	handle := text(s.t, begun, "deviceCode")
	s.s.learn("device handle", handle)
	return object{"deviceCode": handle}, text(s.t, begun, "userCode")
}

// devices goes the way of a device, with every wrong turn.
func (s *story) devices(p string) {
	t, h := s.t, s.h
	good, userCode := s.device(p)
	handle := good["deviceCode"]
	want(t, 400, s.do(h.Colleague, "POST", pollAt(p), good))
	for _, wrong := range []any{object{"deviceCode": []any{handle}}, object{"device_code": handle}, object{"deviceCode": handle, "x": handle}, `{"deviceCode":"` + handle.(string), handle} {
		s.do(h.User, "POST", pollAt(p), wrong)
	}
	s.do(h.User, "POST", pollAt(p)+"?"+url.Values{"deviceCode": {handle.(string)}}.Encode(), "")
	s.do(h.User, "POST", callback, object{"providerId": p, "state": handle, "code": handle})
	h.IdP.ApproveDevice(userCode, "linus")
	brokertest.Eventually(t, "the device has its answer", func() bool { return s.do(h.User, "POST", pollAt(p), good).Status == 200 })
	want(t, 400, s.do(h.User, "POST", pollAt(p), good))

	denied, userCode := s.device(p)
	h.IdP.DeclineDevice(userCode)
	brokertest.Eventually(t, "the device is declined", func() bool {
		return want(t, 400, s.do(h.User, "POST", pollAt(p), denied))["detail"] == "access_denied"
	})
}

// malformed puts secrets where they do not belong, in every part of a request.
func (s *story) malformed(p string) {
	t, h := s.t, s.h
	q := url.QueryEscape(madeUp)
	for _, c := range []struct{ method, path string }{
		{"POST", root + "providers/"}, {"PATCH", provider(p)}, {"POST", callback}, {"POST", root + "jobs/"}, {"POST", pollAt(p)},
	} {
		for _, body := range []any{
			`{"clientSecret":"` + madeUp, `client_secret=` + q, `"` + madeUp + `"`, `["` + madeUp + `"]`, madeUp, `{"clientSecret":"` + madeUp + `"} {`,
			`{"clientSecret":"` + madeUp + `","clientSecret":` + "\x01" + `}`, `{"clientSecret":"` + madeUp + "\xff" + `"}`,
			object{"clientSecret": []any{madeUp}}, object{"clientSecret": object{madeUp[:3]: madeUp}}, object{"name": object{"x": madeUp}},
			object{"password": madeUp, "token": madeUp}, object{"metadata": object{"secret": madeUp}}, object{"metadata": madeUp, "config": madeUp},
			object{"name": 7, "type": madeUp, "clientId": madeUp + "\n", "clientSecret": madeUp}, object{"type": madeUp, "status": madeUp},
			newProvider(object{"clientSecret": madeUp + "\x00"}), newProvider(object{"clientSecret": strings.Repeat(madeUp, 1000)}),
			newProvider(object{"clientSecret": madeUp, "slug": madeUp}), newProvider(object{"clientSecret": madeUp, "type": madeUp}),
			newProvider(object{"clientSecret": madeUp, "scopes": []any{madeUp + " x", madeUp}}), newProvider(object{"clientSecret": madeUp, "skipConsent": madeUp}),
			newProvider(object{"redirectUris": []any{"https://ada:" + q + "@app.example.com/", "https://app.example.com/#" + q}}),
			newProvider(object{"type": "github", "metadata": object{"host": "ada:" + madeUp + "@github.example"}}),
			newProvider(object{"type": "oidc", "config": object{"issuer": "https://ada:" + q + "@issuer.example"}}),
			newProvider(object{"type": "oidc", "config": object{"issuer": "https://issuer.example/?client_secret=" + q}}),
			newProvider(object{"config": object{"clientSecret": madeUp, "pkce": madeUp}}), object{"type": "STATS", "secret": madeUp},
			`{"clientSecret":"` + strings.Repeat(madeUp, 50_000) + `"}`,
		} {
			if a := s.do(h.Admin, c.method, c.path, body); a.Status < 400 || a.Status > 499 {
				t.Errorf("%s %s %.100v: %d %s", c.method, c.path, body, a.Status, a.Body)
			}
		}
		r := request(t, h, c.method, c.path+"?client_secret="+q, "client_secret="+q)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		s.keep(c.path, h.Send(t, r))
	}
	for _, path := range []string{
		provider(q), root + "jobs/" + q + "/", root + q, "/" + q, root + "providers/?orderBy=" + q, root + "providers/?limit=" + q, root + "providers/?cursor=" + q,
		root + "providers/?ids=" + q + "&types=" + q + "&host=" + q, root + "authorizedProviders/?cursor=" + q, root + "authorizedProviders/?status=" + q + "&userId=" + q,
		provider(p) + "?token=" + url.QueryEscape(secret(h.Admin.Token)),
	} {
		s.do(h.Admin, "GET", path, nil)
	}
	s.do(h.Admin, "DELETE", provider(p)+"?force="+q, nil)
	s.do(h.User, "POST", authorizeAt(p)+"?skip_consent="+q, nil)
	s.do(h.User, "POST", authorizeAt(p)+"?state="+q+"%00", nil)
	for _, redirect := range []string{"https://app.example.com/?code=" + q, "https://ada:" + q + "@app.example.com/", "javascript:" + q, "https://" + q + "/"} {
		s.do(h.User, "POST", authorizeAt(p)+"?redirect_uri="+url.QueryEscape(redirect), nil)
	}
	for _, header := range []string{"Bearer " + madeUp, "Basic " + madeUp, "Bearer " + secret(h.User.Token) + "x", "Bearer grd_" + madeUp + "_" + madeUp} {
		r := request(t, h, "GET", provider(p), "")
		r.Header.Set("Authorization", header)
		want(t, 401, s.keep("", h.Send(t, r)))
	}
}

// echoes lets the upstream fail in every way while it repeats all it knows.
func (s *story) echoes(p, a string) {
	t, h := s.t, s.h
	quote := func(text string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) }
	for _, echo := range []func(w http.ResponseWriter, request string){
		func(w http.ResponseWriter, request string) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", error_description="`+quote(request)+`"`)
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"error":"temporarily_unavailable","error_description":"%s","error_uri":"%[1]s"}`, quote(request))
		},
		func(w http.ResponseWriter, request string) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"error":"%s","error_description":"%[1]s","message":"%[1]s"}`, quote(request))
		},
		func(w http.ResponseWriter, request string) { http.Error(w, "<html>"+request, 500) },
		func(w http.ResponseWriter, request string) {
			http.Redirect(w, &http.Request{Method: "GET", URL: &url.URL{Path: "/"}}, "/?"+url.QueryEscape(request), http.StatusFound)
		},
		func(w http.ResponseWriter, request string) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":"%s","expires_in":"%[1]s"`, quote(request)) // half an answer
		},
		func(w http.ResponseWriter, request string) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				fmt.Fprintf(c, "HTTP/1.1 %s\r\n\r\n", request)
				c.Close()
			}
		},
	} {
		exchange := s.approved(p, "linus")
		device, _ := s.device(p)
		change(t, h, devicesAreDue)
		change(t, h, tokensHaveDied)
		change(t, h, nothingWasFailed+", lease_until = NULL, lease_owner = NULL, attempt_id = NULL")
		s.s.misbehave(echo)
		for _, c := range []struct {
			method, path string
			body         any
		}{{"POST", tokenOf(a), nil}, {"GET", userinfoOf(a), nil}, {"POST", callback, exchange}} {
			if got := s.do(h.User, c.method, c.path, c.body); got.Status != 502 {
				t.Errorf("%s: %d %s", c.path, got.Status, got.Body)
			}
		}
		if got := s.do(h.User, "POST", deviceAt(p), nil); got.Status != 502 {
			t.Errorf("device/: %d %s", got.Status, got.Body)
		}
		if got := s.do(h.User, "POST", pollAt(p), device); got.Status != 400 && got.Status != 502 {
			t.Errorf("device/poll/: %d %s", got.Status, got.Body)
		}
		s.s.misbehave(nil)
		change(t, h, nothingWasFailed+", lease_until = NULL, lease_owner = NULL, attempt_id = NULL")
		want(t, 201, s.do(h.User, "POST", tokenOf(a), nil))
	}
}

// end disconnects and deletes, first while the upstream repeats what it is told.
func (s *story) end() {
	t, h := s.t, s.h
	s.s.misbehave(func(w http.ResponseWriter, request string) { http.Error(w, `{"error":"`+request+`"}`, 400) })
	for _, p := range s.providers {
		job := jobOf(t, h, s.do(h.Admin, "DELETE", provider(p), nil))
		ended(t, h, job)
		s.do(h.Admin, "GET", root+"jobs/"+job+"/", nil)
	}
	s.s.misbehave(nil)
	for _, p := range s.providers {
		a := s.do(h.Admin, "DELETE", provider(p), nil)
		if a.Status == 202 { // where it had not failed for good
			s.do(h.Admin, "GET", root+"jobs/"+text(t, ended(t, h, jobOf(t, h, a)), "id")+"/", nil)
		}
	}
	for _, at := range []string{h.MetricsURL, h.URL + "/readyz", h.URL + "/docs", h.URL + "/api/v2/openapi.json"} {
		res, err := http.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		s.answers.WriteString(read(t, res))
	}
}

func (s *story) checkDump(when, kept string) {
	s.t.Helper()
	dumped := dump(s.t, s.h)
	if !strings.Contains(dumped, kept) || !strings.Contains(dumped, s.h.User.Caller.TokenID) {
		s.t.Errorf("%s: the dump of %d bytes does not even tell what is no secret", when, len(dumped))
	}
	if found := s.s.leaks(dumped); found != nil {
		s.t.Errorf("%s: a dump of the database tells %v", when, found)
	}
}

func (s *story) checkLog() {
	log := s.h.Log.String()
	for _, known := range []string{"providers/:id/", "user=ada", "level=DEBUG", "refresh failed"} {
		if !strings.Contains(log, known) {
			s.t.Errorf("the log of %d bytes does not even tell %q", len(log), known)
		}
	}
	if s.s.leaks(log) == nil {
		return
	}
	for line := range strings.Lines(log) {
		if found := s.s.leaks(line); found != nil {
			s.t.Errorf("the log tells %v: %.300s", found, line)
		}
	}
}

// checkTraces looks for secrets in the spans, and for the spans: of requests in the caller's trace, of calls in the request's,
// of statements, and of tasks in the trace of what enqueued them.
func (s *story) checkTraces(b brokertest.Backend, spans *tracetest.SpanRecorder) {
	t := s.t
	r := request(t, s.h, "DELETE", provider(s.providers[0])+"?token="+url.QueryEscape(secret(s.h.Admin.Token)), "")
	r.Header.Set("Authorization", "Bearer "+secret(s.h.Admin.Token))
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r.Header.Set("Tracestate", "code="+madeUp)
	s.h.Send(t, r)

	kinds, traced := map[trace.SpanKind]int{}, map[trace.TraceID]map[trace.SpanKind]bool{}
	continued := false
	for _, span := range spans.Ended() {
		kinds[span.SpanKind()]++
		id := span.SpanContext().TraceID()
		continued = continued || id.String() == "0af7651916cd43dd8448eb211c80319c"
		if traced[id] == nil {
			traced[id] = map[trace.SpanKind]bool{}
		}
		traced[id][span.SpanKind()] = true
		told := fmt.Sprintf("%s %v %v %v %v %s", span.Name(), span.Attributes(), span.Events(), span.Links(), span.Status(), span.SpanContext().TraceState())
		if found := s.s.leaks(told); found != nil || len(span.Events()) > 0 || strings.ContainsAny(told, "?=") {
			t.Errorf("a span tells %v: %s", found, told)
		}
		for _, a := range span.Attributes() {
			if !slices.Contains(traces.Keys(), string(a.Key)) {
				t.Errorf("the span %s has the attribute %s", span.Name(), a.Key)
			}
		}
	}
	whole := func(all ...trace.SpanKind) bool {
		for _, kinds := range traced {
			if !slices.ContainsFunc(all, func(k trace.SpanKind) bool { return !kinds[k] }) {
				return true
			}
		}
		return false
	}
	if !continued || !whole(trace.SpanKindServer, trace.SpanKindClient) || !whole(trace.SpanKindServer, trace.SpanKindConsumer) {
		t.Errorf("not the whole story is traced: a caller's trace is continued: %v; spans by kind: %v", continued, kinds)
	}
	if statements := slices.ContainsFunc(spans.Ended(), func(s sdktrace.ReadOnlySpan) bool { return s.Name() == "SELECT authorizations" }); statements != (b == brokertest.Servers) {
		t.Errorf("statements are traced: %v", statements)
	}
}

func (s *story) checkAnswers() {
	if found := s.s.leaks(s.answers.String()); found != nil {
		s.t.Errorf("the answers tell %v", found)
	}
	if found := s.s.leaks(s.authorizes.String(), "state"); found != nil {
		s.t.Errorf("authorize's answers tell %v", found)
	}
	if found := s.s.leaks(s.authorizes.String()); len(found) == 0 {
		s.t.Error("authorize's answers do not even tell the state")
	}
}

// checkTheCheck plants secrets where they must be found.
func (s *story) checkTheCheck() {
	t := s.t
	for form, how := range encodings(brokertest.ClientSecret) {
		if found := s.s.leaks("x" + form + "y"); len(found) == 0 {
			t.Errorf("a secret %s is not found", how)
		}
	}
	plant := `INSERT INTO meta (name, value) VALUES ('planted', CAST('` + brokertest.ClientSecret + `' AS BLOB))`
	if !strings.HasPrefix(s.h.DatabaseURL, "sqlite:") {
		plant = `INSERT INTO meta (name, value) VALUES ('planted', '` + brokertest.ClientSecret + `'::bytea)`
	}
	change(t, s.h, plant)
	if found := s.s.leaks(dump(t, s.h)); len(found) == 0 {
		t.Error("a secret in a column of bytes is not found in the dump")
	}
	change(t, s.h, `DELETE FROM meta WHERE name = 'planted'`)
	change(t, s.h, `UPDATE jobs SET failure = '`+brokertest.ClientSecret+`'`)
	if found := s.s.leaks(dump(t, s.h)); len(found) == 0 {
		t.Error("a secret in a column of text is not found in the dump")
	}
}

// dump is all that the database keeps: for SQLite the files, byte for byte.
func dump(t testing.TB, h *brokertest.Instance) string {
	t.Helper()
	var all strings.Builder
	if path, ok := strings.CutPrefix(h.DatabaseURL, "sqlite:"); ok {
		for _, file := range []string{path, path + "-wal"} {
			b, err := os.ReadFile(file)
			if err != nil && !(os.IsNotExist(err) && file != path) {
				t.Fatal(err)
			}
			all.Write(b)
		}
		return all.String()
	}
	db := database(t, h)
	for _, table := range column(t, h, `SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = 'public'`) {
		rows, err := db.Query(`SELECT t::text FROM ` + table + ` t`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var row string
			if err := rows.Scan(&row); err != nil {
				t.Fatal(err)
			}
			all.WriteString(table + row + "\n")
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

func column(t testing.TB, h *brokertest.Instance, query string) []string {
	t.Helper()
	return brokertest.Column[string](t, database(t, h), query)
}
