package contract_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/client"
)

// forLanguages starts a grantd, and returns what clients in other languages are told in their environment: ada has an
// authorization and one that has expired, grace has returned from a connect link that is to be confirmed.
func forLanguages(t *testing.T, receivers ...string) (h *brokertest.Instance, environment []string) {
	t.Helper()
	h = brokertest.New(t, &brokertest.Options{WebhookAllow: receivers})
	p := h.Provider(t, "test")
	service := linker(t, h, p.ID)
	expired := h.Consent(t, h.User, p, "linus").ID
	id := h.Consent(t, h.User, p, "ada").ID // the newest, which the exchange takes
	withdraw(t, h, accessToken(t, h, h.User, expired))
	change(t, h, tokensHaveDied)
	want(t, 410, h.Do(t, h.User, "POST", tokenOf(expired), nil))
	link, err := service.Client.CreateConnectLink(ctx, client.NewConnectLink{UserID: "grace", Slug: p.Slug, ReturnURL: appReturn})
	if err != nil {
		t.Fatal(err)
	}
	_, to := surf(t, h).links(strings.TrimPrefix(link.URL, h.URL), "grace")
	return h, append(os.Environ(), "GRANTD_URL="+h.URL, "GRANTD_SERVICE="+secret(service.Token), "GRANTD_TOKEN="+secret(service.Token), "GRANTD_ADA="+secret(h.User.Token),
		"AUTHORIZATION="+id, "EXPIRED="+expired, "LINK="+link.ID, "RESULT="+inside(t, to, "result"), "SLUG="+p.Slug, "UPSTREAM="+h.IdPURL)
}

// runIn runs a program, and shows what it says where it fails.
func runIn(t *testing.T, folder string, environment []string, program string, arguments ...string) string {
	t.Helper()
	limit, cancel := brokertest.WithPatience(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(limit, program, arguments...)
	command.Dir, command.Env = folder, environment
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// The TypeScript client is built from the OpenAPI document, compiles, and does against a real grantd what it says.
func TestTypeScript(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		services.Skip(t, "node is not installed")
	}
	source := filepath.Join("..", "..", "sdk", "typescript")
	installed, err := filepath.Abs(filepath.Join(source, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(installed, "typescript")); err != nil {
		services.Skip(t, "the npm packages of sdk/typescript are not installed (`npm ci` there)")
	}
	// In a folder of the test's, so that nothing is left in the repository.
	folder := t.TempDir()
	for _, name := range []string{"src", "test"} {
		if err := os.CopyFS(filepath.Join(folder, name), os.DirFS(filepath.Join(source, name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"package.json", "tsconfig.json"} {
		content, err := os.ReadFile(filepath.Join(source, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(installed, filepath.Join(folder, "node_modules")); err != nil {
		t.Fatal(err)
	}
	document, err := filepath.Abs(filepath.Join("..", "..", "docs", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	runIn(t, folder, os.Environ(), node, filepath.Join(installed, "openapi-typescript", "bin", "cli.js"), document, "--output", "src/api.ts")
	runIn(t, folder, os.Environ(), node, filepath.Join(installed, "typescript", "bin", "tsc"))
	_, environment := forLanguages(t)
	out := runIn(t, folder, environment, node, "--test", "--test-reporter=tap", "test/client.test.mjs", "test/browser.test.mjs")
	if !strings.Contains(out, "\n# pass 9\n") {
		t.Errorf("node says\n%s", out)
	}
}

// pythonChecks is what the snippets of docs/python.md have to do.
const pythonChecks = `
import sys

id, expired = os.environ["AUTHORIZATION"], os.environ["EXPIRED"]
assert len(token("ada", id)) > 10
assert {c["id"] for c in connections("ada")} == {id, expired}
for user, authorization, status in [("ada", expired, 410), ("grace", id, 404), (None, id, 422)]:
    try:
        token(user, authorization)
    except GrantdError as e:
        assert e.status == status and str(e) and isinstance(e, ConsentNeeded) == (status == 410), (e, e.status)
    else:
        raise AssertionError(status)
with upstream("ada", id, os.environ["UPSTREAM"]) as api:
    assert api.get(os.environ["UPSTREAM"] + "/userinfo").status_code == 200
    try:
        api.get("http://127.0.0.1:1/")
    except ValueError:
        pass
    else:
        raise AssertionError("the token was sent elsewhere")
assert connect_link("ada", os.environ["SLUG"], "https://app.example.com/connected").startswith(os.environ["GRANTD_URL"] + "/connect/")
assert confirm({"link": "x", "error": "access_denied"}, "grace") is None
assert len(token("grace", confirm({"link": os.environ["LINK"], "result": os.environ["RESULT"]}, "grace"))) > 10
assert exchange(os.environ["GRANTD_ADA"], os.environ["SLUG"])[0]
whsec, body = os.environ["WEBHOOK_SECRET"], os.environb[b"WEBHOOK_BODY"]
headers = {name: os.environ[name] for name in ["webhook-id", "webhook-timestamp", "webhook-signature"]}
assert event(whsec, headers, body)["type"] == "webhook.test"
old = {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 600)}
for wrong in [(whsec, headers, body + b" "), (whsec, headers | {"webhook-id": "x"}, body), (whsec, headers | old, body), ("whsec_" + whsec[-8:], headers, body)]:
    try:
        event(*wrong)
    except ValueError:
        pass
    else:
        raise AssertionError(wrong)
print("done")
`

// The snippets of docs/python.md run, in their order, against a real grantd.
func TestPython(t *testing.T) {
	t.Parallel()
	const python = "/usr/bin/python3" // Debian's, whose packages these are
	if err := exec.CommandContext(t.Context(), python, "-c", "import httpx").Run(); err != nil {
		services.Skip(t, "python3-httpx is not installed")
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "python.md"))
	if err != nil {
		t.Fatal(err)
	}
	var program strings.Builder
	for n, block := range strings.Split(string(page), "```python\n")[1:] {
		code, _, closed := strings.Cut(block, "```")
		if !closed {
			t.Fatalf("the snippet %d does not end", n+1)
		}
		program.WriteString(code)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "page.py"), []byte(program.String()+pythonChecks), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newReceiver(t)
	h, environment := forLanguages(t, r.address())
	made := r.hook(t, h, h.Admin)
	sent := r.first()
	environment = append(environment, "WEBHOOK_SECRET="+made.Secret.Reveal(), "WEBHOOK_BODY="+string(sent.raw))
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		environment = append(environment, name+"="+sent.header.Get(name))
	}
	if out := runIn(t, folder, environment, python, "page.py"); out != "done\n" {
		t.Errorf("python says %q", out)
	}
}
