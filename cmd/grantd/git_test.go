package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/commands"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// gitServer serves one repository over https to everybody who has an access token of the authorization server.
type gitServer struct {
	host    string // host:port
	ca      string // the file with the CA that its certificate leads to
	tokens  chan string
	refused atomic.Int32
}

// newGitServer starts git's own server behind TLS, with a CA of its own.
func newGitServer(t *testing.T, idp string) *gitServer {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("left out: git, which is not installed")
	}
	folder, err := exec.Command(git, "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := filepath.Join(strings.TrimSpace(string(folder)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		t.Skip("left out: git http-backend, which is not installed")
	}
	root := t.TempDir()
	for _, line := range []string{
		"git init -q --bare demo.git", "git init -q work && cd work && git -c user.name=Ada -c user.email=ada@example.com commit -q --allow-empty -m first && git push -q ../demo.git HEAD:refs/heads/main",
		"git -C demo.git symbolic-ref HEAD refs/heads/main",
	} {
		gitIn(t, root, nil, line)
	}
	s := &gitServer{tokens: make(chan string, 100)}
	served := &cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, token, given := r.BasicAuth()
		if !given || !accepts(idp, token) {
			if given {
				s.refused.Add(1)
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "sign in", http.StatusUnauthorized)
			return
		}
		s.tokens <- token
		served.ServeHTTP(w, r)
	}))
	certificate, ca := certificateFor(t)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "https://"), ":")
	s.host = "localhost:" + port
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.ca, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// accepts asks the authorization server whether a token is good, as its git server would.
func accepts(idp, token string) bool {
	request, err := http.NewRequest("GET", idp+"/api/v3/user", nil)
	if err != nil {
		return false
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func certificateFor(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		return k
	}
	caKey, leafKey := key(), key()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: []string{"localhost"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	rawCA, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	must(err)
	rawLeaf, err := x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, caKey)
	must(err)
	return tls.Certificate{Certificate: [][]byte{rawLeaf}, PrivateKey: leafKey}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rawCA})
}

// gitIn runs a line of shell in a folder, with nothing of the machine's git settings.
func gitIn(t *testing.T, folder string, vars []string, line string) string {
	t.Helper()
	out, err := tryGit(t, folder, vars, line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

func tryGit(t *testing.T, folder string, vars []string, line string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = folder
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C"}, vars...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// gitUser is somebody with an account at the authorization server, whose tokens live for a minute, and with a shell whose
// git asks grantd.
type gitUser struct {
	*shell
	h      *brokertest.Instance
	server *gitServer
	p      models.Provider
	a      models.Authorization
	home   string
	later  *atomic.Int64 // by how much the authorization server's clock is ahead
}

func newGitUser(t *testing.T) *gitUser {
	t.Helper()
	u := &gitUser{later: &atomic.Int64{}, home: t.TempDir()}
	idp, address := testidp.Start(t, testidp.Options{AutoConsent: true, AccessTTL: time.Minute, Clients: []testidp.Client{{ID: brokertest.ClientID, Secret: brokertest.ClientSecret}},
		Now: func() time.Time { return time.Now().Add(time.Duration(u.later.Load())) }})
	u.server = newGitServer(t, address)
	u.h = brokertest.New(t, &brokertest.Options{IdP: idp, IdPURL: address, WithoutWorker: true})
	u.p = u.h.Provider(t, "github")
	u.shell = signedIn(t, u.h, u.h.User)
	bin := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(bin, "grantd")); err != nil {
		t.Fatal(err)
	}
	u.vars = append(u.vars, asCommand+"=1", "GIT_SSL_CAINFO="+u.server.ca, "PATH="+bin+":"+os.Getenv("PATH"))
	return u
}

// passes has time pass for grantd and for the authorization server.
func (u *gitUser) passes(d time.Duration) {
	u.later.Add(int64(d))
	u.h.Clock.Advance(d)
}

// lastToken is the token that the git server saw last.
func (u *gitUser) lastToken() string {
	u.t.Helper()
	last := ""
	for len(u.server.tokens) > 0 {
		last = <-u.server.tokens
	}
	if last == "" {
		u.t.Fatal("the git server saw no token")
	}
	return last
}

// recipe are the lines of a page's shell blocks below a heading.
func recipe(t *testing.T, page, heading string) []string {
	t.Helper()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(raw), "\n"+heading+"\n")
	block := regexp.MustCompile("(?s)```sh\n(.*?)```").FindStringSubmatch(after)
	if !found || block == nil {
		t.Fatalf("%s has no commands below %q", page, heading)
	}
	return strings.Split(strings.TrimSpace(block[1]), "\n")
}

// git clones from a real server over https, with tokens that live for a minute and that it asks grantd for. The commands
// are those of docs/git.md.
func TestGitClonesWithTokensOfAMinute(t *testing.T) {
	t.Parallel()
	u := newGitUser(t)
	out, err := tryGit(t, u.home, u.vars, "grantd token --for "+u.p.Slug)
	if err == nil || !strings.Contains(out, u.h.URL+"/external-auth/"+u.p.ID) {
		t.Errorf("without a connection, a token: %v\n%s", err, out)
	}
	u.a = u.h.Consent(t, u.h.User, u.p, "ada")
	for _, line := range recipe(t, "../../docs/git.md", "## Clone") {
		line = strings.NewReplacer("git.example.com", u.server.host, "--provider code", "--provider "+u.p.Slug).Replace(line)
		gitIn(t, u.home, u.vars, line)
	}
	first := u.lastToken()
	if out := gitIn(t, u.home, u.vars, "git -C demo log --format=%s"); out != "first\n" {
		t.Errorf("the clone has %q", out)
	}
	if raw := gitIn(t, u.home, u.vars, "grep -r "+first+" . || true"); raw != "" {
		t.Errorf("git kept the token: %s", raw)
	}

	u.passes(2 * time.Minute)
	gitIn(t, u.home, u.vars, "git -C demo fetch")
	second := u.lastToken()
	if second == first {
		t.Error("after two minutes, git sends the same token")
	}
	if n := u.server.refused.Load(); n != 0 {
		t.Errorf("the server refused %d tokens", n)
	}

	// The upstream takes the token back. git is refused, tells grantd, and the next one is new.
	revokeUpstream(t, u, second)
	if out, err := tryGit(t, u.home, u.vars, "git -C demo fetch"); err == nil {
		t.Errorf("a token that was revoked is accepted: %s", out)
	}
	gitIn(t, u.home, u.vars, "git -C demo fetch")
	if third := u.lastToken(); third == second {
		t.Error("after a refusal, git sends the same token")
	}
	if n := u.server.refused.Load(); n != 1 {
		t.Errorf("the server refused %d tokens, want 1", n)
	}
}

// eraseAsAdmin: an admin's list of connections is the organisation's, and its own may be far behind in it.
func (u *gitUser) eraseAsAdmin(host string) {
	u.t.Helper()
	const others = 21
	for n := range others {
		u.h.Consent(u.t, u.h.Colleague, u.p, fmt.Sprint("before-", n))
	}
	u.h.Consent(u.t, u.h.Admin, u.p, "root")
	for n := range others {
		u.h.Consent(u.t, u.h.Colleague, u.p, fmt.Sprint("after-", n))
	}
	admin := signedIn(u.t, u.h, u.h.Admin)
	admin.must("git", "allow", host, "--provider", u.p.Slug)
	repository := "protocol=https\nhost=" + host + "\n"
	refused := admin.given(repository+"\n", "git-credential", "get")
	_, password, _ := strings.Cut(refused.out, "password=")
	password, _, _ = strings.Cut(password, "\n")
	revokeUpstream(u.t, u, password)
	if o := admin.given(repository+"username=x-access-token\npassword="+password+"\n\n", "git-credential", "erase"); o.code != exitOK {
		u.t.Errorf("erasing what was refused: %d %s", o.code, o.err)
	}
	if again := admin.given(repository+"\n", "git-credential", "get"); again.code != exitOK || strings.Contains(again.out, password) {
		u.t.Errorf("a token that was refused is given out again: %d %s", again.code, again.err)
	}
}

// revokeUpstream ends one token at the authorization server, and not what it came with.
func revokeUpstream(t *testing.T, u *gitUser, token string) {
	t.Helper()
	request, err := http.NewRequest("DELETE", u.h.IdPURL+"/api/v3/applications/"+url.PathEscape(brokertest.ClientID)+"/token", strings.NewReader(`{"access_token":"`+token+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(brokertest.ClientID, brokertest.ClientSecret)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		t.Fatalf("revoking a token: %s", answer.Status)
	}
}

func TestGitHasTokensForAllowedHostsOnly(t *testing.T) {
	t.Parallel()
	u := newGitUser(t)
	u.a = u.h.Consent(t, u.h.User, u.p, "ada")
	ask := func(lines ...string) outcome {
		return u.given(strings.Join(lines, "\n")+"\n\n", "git-credential", "get")
	}
	nothing := func(what string, o outcome) {
		t.Helper()
		if o.out != "" {
			t.Errorf("%s has the token:\n%s", what, o.out)
		}
	}
	nothing("another host", ask("protocol=https", "host=git.example.com"))
	mustFail(t, ask("protocol=https", "host=git.example.com"), exitOK, "grantd git allow git.example.com")
	mustFail(t, u.run("git", "allow", "https://git.example.com", "--provider", u.p.Slug), exitUsage, "must be a name")
	mustFail(t, u.run("git", "allow", "git.example.com", "--provider", "absent"), commands.ExitNotFound, "absent")
	u.must("git", "allow", "git.example.com:8443", "--provider", u.p.Slug)
	answer := ask("protocol=https", "host=git.example.com:8443", "path=acme/app.git", "capability[]=authtype", "wwwauth[]=Basic realm=\"git\"")
	fields := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(answer.out), "\n") {
		name, value, _ := strings.Cut(line, "=")
		fields[name] = value
	}
	end, err := strconv.ParseInt(fields["password_expiry_utc"], 10, 64)
	if fields["username"] != "x-access-token" || fields["password"] == "" || fields["ephemeral"] != "1" || err != nil || end < time.Now().Unix() || end > time.Now().Add(2*time.Minute).Unix() {
		t.Errorf("git is answered\n%s%s", answer.out, answer.err)
	}
	if out := u.must("token", "get", "--for", u.p.Slug); strings.TrimSpace(out) != fields["password"] {
		t.Errorf("token --for prints %q", out)
	}
	forTools := strings.Replace(recipe(t, "../../docs/git.md", "## Tokens for other tools")[1], "--for code", "--for "+u.p.Slug, 1)
	if out := gitIn(t, u.home, u.vars, forTools); !strings.Contains(out, `"accessToken": "`+fields["password"]+`"`) {
		t.Errorf("%s prints %s", forTools, out)
	}
	nothing("plain http", ask("protocol=http", "host=git.example.com:8443"))
	nothing("another port", ask("protocol=https", "host=git.example.com"))
	nothing("a name that begins alike", ask("protocol=https", "host=git.example.com:8443.evil.example"))
	nothing("a host with a user", ask("protocol=https", "host=git.example.com:8443@evil.example"))
	nothing("a control character", ask("protocol=https", "host=git.example.com:8443", "username=a\rb"))
	mustFail(t, ask("protocol=https", "host=git.example.com:8443", "username=a\rb"), exitUsage, "control characters")
	u.given("protocol=https\nhost=git.example.com:8443\nusername=x\npassword=y\n\n", "git-credential", "store")
	if o := u.given("protocol=https\nhost=git.example.com:8443\nusername=x-access-token\npassword=made-up\n\n", "git-credential", "erase"); o.code != exitOK {
		t.Errorf("erasing what is not in use: %d %s", o.code, o.err)
	}
	u.eraseAsAdmin("git.example.com:8443")
	u.must("git", "forbid", "git.example.com:8443")
	nothing("a host that is not allowed any more", ask("protocol=https", "host=git.example.com:8443"))
}
