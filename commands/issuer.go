package commands

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

const (
	signInTime    = 10 * time.Minute // that a person has to sign in
	renewBefore   = 30 * time.Second // the end of a bearer token
	maxFromIssuer = 1 << 20
)

// issuer is what an OpenID Connect issuer's metadata says.
type issuer struct {
	Issuer    string   `json:"issuer"`
	Authorize string   `json:"authorization_endpoint"`
	Token     string   `json:"token_endpoint"`
	Device    string   `json:"device_authorization_endpoint"`
	Scopes    []string `json:"scopes_supported"`
}

// tokenAnswer is an answer of a token endpoint, also one that refuses.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	IDToken     string `json:"id_token"`
	Refresh     string `json:"refresh_token"`
	ExpiresIn   int64  `json:"expires_in"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// signInAt has the person sign in at the issuer, with a code on another device or in the browser of this machine.
func (s *Session) signInAt(ctx context.Context, l loginCommand) (*signIn, error) {
	if l.ClientID == "" {
		return nil, usage("--issuer needs --client-id: the public client that the issuer knows the command line as")
	}
	ctx, cancel := context.WithTimeout(ctx, signInTime)
	defer cancel()
	at, err := discover(ctx, l.Issuer)
	if err != nil {
		return nil, err
	}
	scopes := l.Scope
	if len(scopes) == 0 {
		scopes = []string{"openid"}
		if slices.Contains(at.Scopes, "offline_access") {
			scopes = append(scopes, "offline_access")
		}
	}
	var answer tokenAnswer
	if at.Device == "" || l.Browser {
		answer, err = s.withBrowser(ctx, at, l.ClientID, scopes)
	} else {
		answer, err = s.withDevice(ctx, at, l.ClientID, scopes)
	}
	if err != nil {
		return nil, err
	}
	in := &signIn{Issuer: at.Issuer, ClientID: l.ClientID, TokenEndpoint: at.Token, AccessToken: l.AccessToken}
	return in, in.take(answer, time.Now())
}

// discover reads the issuer's metadata (OpenID Connect Discovery 1.0).
func discover(ctx context.Context, address string) (issuer, error) {
	address = strings.TrimRight(address, "/")
	if err := secure("--issuer", address); err != nil {
		return issuer{}, usage("%w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/.well-known/openid-configuration", nil)
	if err != nil {
		return issuer{}, err
	}
	var at issuer
	status, err := exchange(request, &at)
	switch {
	case err != nil:
		return at, fmt.Errorf("reading the metadata of %s: %w", address, err)
	case status != http.StatusOK:
		return at, fmt.Errorf("reading the metadata of %s: it answered %d", address, status)
	case strings.TrimRight(at.Issuer, "/") != address:
		return at, fmt.Errorf("the metadata of %s is that of another issuer, %.200q", address, at.Issuer)
	}
	for name, endpoint := range map[string]string{"token_endpoint": at.Token, "authorization_endpoint": at.Authorize, "device_authorization_endpoint": at.Device} {
		if endpoint == "" && name != "token_endpoint" {
			continue
		}
		if err := secure(name, endpoint); err != nil {
			return at, fmt.Errorf("the metadata of %s: %w", address, err)
		}
	}
	return at, nil
}

// secure says what is wrong with an address that secrets are sent to, or a person is sent to.
func secure(name, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return fmt.Errorf("%s must be an https URL, or http on this machine", name)
	}
	return nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// exchange sends a request and decodes the answer, whatever its status.
func exchange(request *http.Request, out any) (status int, err error) {
	request.Header.Set("Accept", "application/json")
	answer, err := newHTTP().Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxFromIssuer))
	if err != nil {
		return answer.StatusCode, err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return answer.StatusCode, fmt.Errorf("the answer (%d) is not JSON", answer.StatusCode)
	}
	return answer.StatusCode, nil
}

// post sends a form.
func post(ctx context.Context, endpoint string, form url.Values, out any) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return exchange(request, out)
}

// tokens asks the token endpoint. That it refuses is in the answer's Error.
func (at issuer) tokens(ctx context.Context, form url.Values) (tokenAnswer, error) {
	var answer tokenAnswer
	status, err := post(ctx, at.Token, form, &answer)
	if err == nil && status != http.StatusOK && answer.Error == "" {
		err = fmt.Errorf("it answered %d", status)
	}
	if err != nil {
		return answer, fmt.Errorf("asking %s for a token: %w", at.Issuer, err)
	}
	return answer, nil
}

// refusal is the error that the issuer's answer is.
func (at issuer) refusal(a tokenAnswer) error {
	return failed(ExitSignedOut, "%s refused the sign-in: %.100q %.200q", at.Issuer, a.Error, a.Description)
}

// withDevice shows a code, and waits until the person has entered it at the issuer (RFC 8628).
func (s *Session) withDevice(ctx context.Context, at issuer, client string, scopes []string) (tokenAnswer, error) {
	var device struct {
		Code     string `json:"device_code"`
		UserCode string `json:"user_code"`
		URI      string `json:"verification_uri"`
		Complete string `json:"verification_uri_complete"`
		Interval int64  `json:"interval"`
		Error    string `json:"error"`
	}
	status, err := post(ctx, at.Device, url.Values{"client_id": {client}, "scope": {strings.Join(scopes, " ")}}, &device)
	switch {
	case err != nil:
		return tokenAnswer{}, fmt.Errorf("asking %s for a code: %w", at.Issuer, err)
	case status != http.StatusOK || device.Code == "":
		return tokenAnswer{}, at.refusal(tokenAnswer{Error: device.Error, Description: fmt.Sprintf("status %d", status)})
	}
	s.showDevice(device.URI, device.Complete, device.UserCode)
	wait := time.Duration(max(device.Interval, 0)) * time.Second
	if wait == 0 {
		wait = 5 * time.Second // RFC 8628 3.2
	}
	for {
		if err := pause(ctx, wait); err != nil {
			return tokenAnswer{}, fmt.Errorf("nobody entered the code: %w", err)
		}
		answer, err := at.tokens(ctx, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {device.Code}, "client_id": {client}})
		switch {
		case err != nil:
			return answer, err
		case answer.Error == "slow_down":
			wait += 5 * time.Second
		case answer.Error == "authorization_pending":
		case answer.Error != "":
			return answer, at.refusal(answer)
		default:
			return answer, nil
		}
	}
}

// showDevice tells the person where to enter which code.
func (s *Session) showDevice(address, complete, code string) {
	s.say("Open %s and enter the code %s.", address, code)
	if complete != "" {
		s.say("Or open %s and compare the code.", complete)
	}
	s.say("Go on only if you have begun this yourself.")
}

func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// withBrowser sends the browser of this machine to the issuer, and takes the code that it comes back with (RFC 8252, with
// PKCE, a state and a nonce).
func (s *Session) withBrowser(ctx context.Context, at issuer, client string, scopes []string) (tokenAnswer, error) {
	if at.Authorize == "" {
		return tokenAnswer{}, fmt.Errorf("%s has no authorization endpoint", at.Issuer)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return tokenAnswer{}, fmt.Errorf("listening for the browser to come back: %w", err)
	}
	back := "http://" + listener.Addr().String() + "/callback"
	verifier, state, nonce := rand.Text()+rand.Text(), rand.Text(), rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {back}, "scope": {strings.Join(scopes, " ")}, "state": {state}, "nonce": {nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	address := at.Authorize
	if strings.Contains(address, "?") {
		address += "&" + query.Encode()
	} else {
		address += "?" + query.Encode()
	}
	returned := make(chan url.Values, 1)
	server := &http.Server{Handler: comeBack(state, returned), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // it ends when the server is closed
	defer server.Close()
	s.openBrowser(address)
	var got url.Values
	select {
	case <-ctx.Done():
		return tokenAnswer{}, fmt.Errorf("the browser did not come back: %w", ctx.Err())
	case got = <-returned:
	}
	if got.Get("error") != "" {
		return tokenAnswer{}, at.refusal(tokenAnswer{Error: got.Get("error"), Description: got.Get("error_description")})
	}
	if iss := got.Get("iss"); iss != "" && iss != at.Issuer {
		return tokenAnswer{}, fmt.Errorf("the browser came back from another issuer, %.200q", iss)
	}
	answer, err := at.tokens(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {got.Get("code")}, "redirect_uri": {back}, "client_id": {client}, "code_verifier": {verifier}})
	switch {
	case err != nil:
		return answer, err
	case answer.Error != "":
		return answer, at.refusal(answer)
	case answer.IDToken != "" && nonceOf(answer.IDToken) != nonce:
		return answer, errors.New("the id_token belongs to another sign-in (nonce)")
	}
	return answer, nil
}

// comeBack takes the first answer with the right state, and tells the person to go on in the terminal.
func comeBack(state string, returned chan<- url.Values) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if r.URL.Path != "/callback" || r.URL.Query().Get("state") != state {
			http.Error(w, "This is not the answer to the sign-in that grantd login waits for.", http.StatusBadRequest)
			return
		}
		select {
		case returned <- r.URL.Query():
		default: // a second look at the same address
		}
		_, _ = io.WriteString(w, "You can close this page and go on in the terminal.\n")
	})
}

// nonceOf reads the nonce of an id_token that came from the token endpoint itself. Its signature is for grantd to judge,
// which the token is sent to.
func nonceOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Nonce string `json:"nonce"`
	}
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return ""
	}
	return claims.Nonce
}

// openBrowser shows an address, and opens it where a person sits at this terminal.
func (s *Session) openBrowser(address string) {
	s.say("Open this address in a browser:\n\n  %s\n", address)
	if _, ok := onTerminal(s.Err); !ok {
		return
	}
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	if program := exec.Command(name, args...); program.Start() == nil {
		go func() { _ = program.Wait() }() // the address is shown anyway
	}
}

// take keeps what an issuer answered.
func (in *signIn) take(a tokenAnswer, now time.Time) error {
	bearer := a.IDToken
	if in.AccessToken {
		bearer = a.AccessToken
	}
	if bearer == "" {
		return fmt.Errorf("%s gave out no id_token: is openid among the scopes? With --access-token its access token is used", in.Issuer)
	}
	in.Bearer = bearer
	if a.Refresh != "" {
		in.Refresh = a.Refresh
	}
	if in.ExpiresAt = endOf(bearer); in.ExpiresAt.IsZero() && a.ExpiresIn > 0 {
		in.ExpiresAt = now.Add(time.Duration(a.ExpiresIn) * time.Second)
	}
	return nil
}

// endOf reads when a JWT expires; zero where it does not say.
func endOf(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		End float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(raw, &claims) != nil || claims.End <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(claims.End), 0)
}

// bearer returns the token of a context, renewed where an issuer's is about to end. Processes renew one after the other,
// because a refresh token may work only once.
func (s *Session) bearer(ctx context.Context, store *contextStore, name string) (models.Secret, error) {
	a := store.Accounts[name]
	if a.SignIn == nil {
		return models.Secret(a.Token), nil
	}
	if a.SignIn.fresh() {
		return models.Secret(a.SignIn.Bearer), nil
	}
	var token string
	err := store.change(func() error {
		current := store.Accounts[name]
		if current == nil || current.SignIn == nil {
			return failed(ExitSignedOut, "the context %q is gone: run grantd login", name)
		}
		if !current.SignIn.fresh() {
			if err := current.SignIn.renew(ctx); err != nil {
				return err
			}
		}
		token = current.SignIn.Bearer
		return nil
	})
	return models.Secret(token), err
}

func (in *signIn) fresh() bool {
	return in.ExpiresAt.IsZero() || time.Now().Before(in.ExpiresAt.Add(-renewBefore))
}

func (in *signIn) renew(ctx context.Context) error {
	at := issuer{Issuer: in.Issuer, Token: in.TokenEndpoint}
	if in.Refresh == "" {
		return failed(ExitSignedOut, "the sign-in at %s is over: run grantd login again", in.Issuer)
	}
	answer, err := at.tokens(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {in.Refresh}, "client_id": {in.ClientID}})
	switch {
	case err != nil:
		return failure{ExitTryAgain, err}
	case answer.Error != "":
		return failed(ExitSignedOut, "%s did not renew the sign-in (%.100q): run grantd login again", in.Issuer, answer.Error)
	}
	return in.take(answer, time.Now())
}
