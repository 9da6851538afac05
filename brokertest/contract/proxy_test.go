package contract_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// nginx is a proxy that speaks TLS, with a certificate of a CA of its own, and serves
// the instance below /grantd and another application beside it.
type nginx struct {
	origin string // https://127.0.0.1:port
	port   string
	client *http.Client
}

const otherApplication = "another application on this host"

// reserveNginx finds a port, since the public URL must be known before the instance is
// built.
func reserveNginx(t *testing.T) *nginx {
	t.Helper()
	if _, err := nginxPath(); err != nil {
		services.Skip(t, "tests behind a proxy, because no nginx is installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return &nginx{origin: "https://127.0.0.1:" + port, port: port}
}

func nginxPath() (string, error) {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/nginx") // not in everybody's PATH on Debian
}

// start serves target below /grantd/. proxyPass is what nginx is told to pass on to.
func (n *nginx) start(t *testing.T, proxyPass string) {
	t.Helper()
	folder := t.TempDir()
	roots := certify(t, folder)
	config := fmt.Sprintf(`daemon off; master_process off; pid nginx.pid; error_log error.log;
events {}
http {
	access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	server {
		listen 127.0.0.1:%s ssl;
		ssl_certificate server.pem; ssl_certificate_key server.key;
		location /grantd/ { proxy_pass %s; }
		location / { return 200 "%s"; }
	}
}`, n.port, proxyPass, otherApplication)
	if err := os.WriteFile(filepath.Join(folder, "nginx.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	path, _ := nginxPath()
	cmd := exec.Command(path, "-p", folder, "-c", "nginx.conf", "-e", "error.log")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	n.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(n.client.CloseIdleConnections)
	brokertest.Eventually(t, "nginx answers", func() bool {
		res, err := n.client.Get(n.origin + "/")
		if err != nil {
			return false
		}
		return read(t, res) == otherApplication
	})
}

// certify writes a certificate for 127.0.0.1, and returns the CA that signed it.
func certify(t *testing.T, folder string) *x509.CertPool {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	made := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		check(err)
		if signer == nil {
			signer = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		check(err)
		cert, err := x509.ParseCertificate(der)
		check(err)
		return cert, key
	}
	year := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	}
	authority := year(1, "CA of a test")
	authority.IsCA, authority.BasicConstraintsValid, authority.KeyUsage = true, true, x509.KeyUsageCertSign
	ca, caKey := made(authority, authority, nil)
	site := year(2, "127.0.0.1")
	site.IPAddresses, site.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	cert, key := made(site, ca, caKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)
	check(os.WriteFile(filepath.Join(folder, "server.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600))
	check(os.WriteFile(filepath.Join(folder, "server.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return pool
}

// call asks the API by way of the proxy, and returns the body.
func (n *nginx) call(t *testing.T, who brokertest.Person, method, address string, body any, status int) object {
	t.Helper()
	sent, _ := json.Marshal(body)
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(sent)
	}
	r, err := http.NewRequest(method, address, reader)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret(who.Token))
	r.Header.Set("Content-Type", "application/json")
	res, err := n.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	all := read(t, res)
	if res.StatusCode != status {
		t.Fatalf("%s %s: %d %.300s", method, address, res.StatusCode, all)
	}
	if location := res.Header.Get("Location"); location != "" && !strings.HasPrefix(location, n.origin+"/grantd/") {
		t.Errorf("%s %s: Location %s", method, address, location)
	}
	got := object{}
	if err := json.Unmarshal([]byte(all), &got); err != nil {
		t.Fatalf("%s %s: %.300s", method, address, all)
	}
	return got
}

// With a path in GRANTD_PUBLIC_URL every address that the API gives out leads back to
// it, whether the proxy strips the path or passes it on.
func TestTheAPIWorksBelowAPath(t *testing.T) {
	t.Parallel()
	for name, slash := range map[string]string{"the proxy strips the path": "/", "the proxy passes the path on": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := reserveNginx(t)
			public := n.origin + "/grantd"
			h := brokertest.New(t, &brokertest.Options{PublicURL: public})
			n.start(t, h.URL+slash)

			api := public + "/api/v2/externalOAuth"
			var ids []string
			for _, made := range []string{"One", "Two"} {
				p := n.call(t, h.Admin, "POST", api+"/providers/", object{"name": made, "type": "test", "clientId": brokertest.ClientID, "clientSecret": brokertest.ClientSecret}, 201)
				ids = append(ids, text(t, p, "id"))
			}
			first := n.call(t, h.Admin, "GET", api+"/providers/?limit=1", nil, 200)
			second := n.call(t, h.Admin, "GET", text(t, first, "next"), nil, 200)
			n.call(t, h.Admin, "GET", text(t, second, "previous"), nil, 200)
			begun := n.call(t, h.User, "POST", api+"/providers/"+ids[0]+"/authorize/", nil, 200)
			if back := inside(t, text(t, begun, "redirectUrl"), "redirect_uri"); back != public+connectAt(ids[0]) {
				t.Errorf("the person comes back to %s", back)
			}
			agent := n.call(t, h.User, "GET", public+"/api/v2/workspaceagents/me/external-auth?id="+ids[0], nil, 200)
			if agent["url"] != public+connectAt(ids[0]) {
				t.Errorf("git is sent to %v", agent["url"])
			}
			job := n.call(t, h.Admin, "DELETE", api+"/providers/"+ids[1]+"/", nil, 202)
			n.call(t, h.Admin, "GET", text(t, job, "location"), nil, 200)
			document := n.call(t, h.User, "GET", public+"/api/v2/openapi.json", nil, 200)
			if servers := document["servers"].([]any); servers[0].(object)["url"] != public {
				t.Errorf("the document names %v", servers)
			}
			missing := n.call(t, h.User, "GET", public+"/api/v3/providers", nil, 404)
			if message := text(t, missing, "message"); !strings.Contains(message, public+"/docs") {
				t.Errorf("404 says %s", message)
			}
			n.call(t, h.User, "GET", public+"/", nil, 404) // a program; people get a page
			n.call(t, h.User, "GET", public+"/healthz", nil, 200)
		})
	}
}

// Finding 1: with a path in the public URL every page was broken, because the style
// sheet, forms, redirects and the documentation were asked for at the root.
func TestThePagesWorkBelowAPath(t *testing.T) {
	t.Parallel()
	n := reserveNginx(t)
	b := openBrowser(t, told(security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true}))
	idp, idpURL := testidp.Start(t, testidp.Options{Clients: []testidp.Client{{ID: brokertest.ClientID, Secret: brokertest.ClientSecret}}})
	public := n.origin + "/grantd"
	h := brokertest.New(t, &brokertest.Options{IdP: idp, IdPURL: idpURL, PublicURL: public})
	n.start(t, h.URL+"/")
	p := createID(t, h, nil)
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }
	consent := func(account, decision string) {
		t.Helper()
		b.do(t, chromedp.WaitVisible(css("button[value=allow]")), chromedp.Click(css("input[value="+account+"]")), chromedp.Click(css("button[value="+decision+"]")))
	}
	styled := func() {
		t.Helper()
		got, err := chromedp.Run(b, chromedp.Evaluate[float64](`document.querySelector("main").getBoundingClientRect().width`))
		if err != nil || got > 500 || got < 200 {
			t.Errorf("main is %v px wide: %v", got, err)
		}
	}

	// Home, sign-in, home, consent, connected.
	b.do(t, chromedp.Navigate(public+"/"), chromedp.Click(css("#sign-in")), chromedp.WaitVisible(css("input[name=token]")))
	styled()
	b.do(t, chromedp.SendKeys(css("input[name=token]"), secret(h.User.Token)), chromedp.Click(css("button[type=submit]")), chromedp.WaitVisible(css(".providers a")))
	b.landed(t, public+"/")
	b.do(t, chromedp.Click(css(".providers a")))
	consent("ada", "allow")
	b.do(t, chromedp.WaitVisible(css("#account")))
	b.landed(t, public+"/external-auth/"+p+"/connected")
	styled()
	if got := b.shows(t, "#account"); got != "ada" {
		t.Errorf("connected as %q", got)
	}

	// From another site, with another account, which is asked about; and once more, denied.
	elsewhere := anotherSite(t, public+connectAt(p)+"?redirect=%2Fgrantd%2Fdocs")
	begin := func() {
		t.Helper()
		b.do(t, chromedp.Navigate(elsewhere), chromedp.Click(css("#lure")), chromedp.WaitVisible(css("#start")), chromedp.Click(css("#start")))
	}
	begin()
	consent("grace", "allow")
	b.do(t, chromedp.WaitVisible(css("#now")), chromedp.Click(css("button[value=keep]")), chromedp.WaitVisible(css("#back")))
	begin()
	consent("ada", "deny")
	b.do(t, chromedp.WaitVisible(css("#again")))
	if got := b.shows(t, "h1"); got != "You chose not to connect" {
		t.Errorf("after denying: %q", got)
	}
	b.do(t, chromedp.Click(css("#back")), chromedp.WaitReady(css("redoc"))) // the documentation, where the redirect leads
	brokertest.Eventually(t, "the documentation shows the operations", func() bool {
		return strings.Contains(b.shows(t, "body"), "Register a provider")
	})
	b.landed(t, public+"/docs")

	// Signing out ends the session, whose cookie no other application of the host is sent.
	cookies := slices.DeleteFunc(b.cookies(t), func(c *network.Cookie) bool { return !strings.Contains(c.Name, "grantd") }) // cookies know no ports
	if len(cookies) != 1 || cookies[0].Path != "/grantd" || cookies[0].Name != "__Secure-grantd_session" || !cookies[0].Secure || !cookies[0].HTTPOnly {
		t.Errorf("the cookies are %+v", cookies)
	}
	b.do(t, chromedp.Navigate(public+"/external-auth/"+p+"/connected"), chromedp.Click(css("#sign-out")), chromedp.WaitVisible(css("#sign-in")), chromedp.Click(css("#sign-in")),
		chromedp.WaitVisible(css("input[name=token]")))

	// A connect link, which wants her signed in.
	app := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Providers: []string{p}, ReturnOrigins: []string{"http://localhost:*"}})
	made := want(t, 201, h.Do(t, app, "POST", root+"connectLinks/", object{"userId": "ada", "providerId": p, "signIn": true, "confirm": true, "returnUrl": elsewhere}))
	b.do(t, chromedp.Navigate(text(t, made, "url")), chromedp.WaitVisible(css("input[name=token]")), chromedp.SendKeys(css("input[name=token]"), secret(h.User.Token)),
		chromedp.Click(css("button[type=submit]")), chromedp.WaitVisible(css("#start")))
	b.landed(t, public+"/connect/")
	styled()
	b.do(t, chromedp.Click(css("#start")))
	consent("ada", "allow")
	b.landed(t, elsewhere+"/?link="+text(t, made, "id")+"&result=")

	b.mu.Lock()
	for _, asked := range b.requests {
		if u, err := url.Parse(asked); err != nil || u.Host == host(t, public) && !strings.HasPrefix(u.Path, "/grantd/") {
			t.Errorf("the browser asked for %s", asked)
		}
	}
	b.mu.Unlock()
	b.wantQuiet(t, host(t, public), host(t, idpURL), host(t, elsewhere))
}
