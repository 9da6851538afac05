package contract_test

import (
	"bufio"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
)

// mcpHost speaks to an MCP server on its standard input and output.
type mcpHost struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

// hears reads the next message.
func (m *mcpHost) hears() object {
	m.t.Helper()
	if !m.out.Scan() {
		m.t.Fatalf("the MCP server ended: %v", m.out.Err())
	}
	var got object
	if err := json.Unmarshal(m.out.Bytes(), &got); err != nil || got["jsonrpc"] != "2.0" {
		m.t.Fatalf("the MCP server says %s", m.out.Bytes())
	}
	return got
}

func (m *mcpHost) asks(method string, params object) object {
	m.t.Helper()
	line, err := json.Marshal(object{"jsonrpc": "2.0", "id": method, "method": method, "params": params})
	if err == nil {
		_, err = m.in.Write(append(line, '\n'))
	}
	if err != nil {
		m.t.Fatal(err)
	}
	got := m.hears()
	if got["id"] != method {
		m.t.Fatalf("the answer to %s is %v", method, got)
	}
	return got
}

// The MCP server of docs/recipes.md sends a person who has connected nothing to a connect link, and calls the upstream once
// that is done. No token is in what it says.
func TestTheMCPServerOfTheRecipe(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "mcp")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/grantd/grantd/client/examples/mcp").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h := brokertest.New(t, nil)
	p := h.Provider(t, "test")
	app := linker(t, h, p.ID)
	target, err := url.Parse(h.IdPURL)
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(target)) // tokens are sent by https only
	t.Cleanup(api.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() *mcpHost {
		command := exec.CommandContext(t.Context(), program)
		command.Env = append(os.Environ(), "GRANTD_URL="+h.URL, "GRANTD_TOKEN="+secret(app.Token), "GRANTD_USER=ada", "PROVIDER="+p.Slug, "WHOAMI="+api.URL+"/userinfo", "SSL_CERT_FILE="+ca)
		command.Stderr = os.Stderr
		in, err := command.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := command.StdoutPipe()
		if err == nil {
			err = command.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			in.Close()
			if err := command.Wait(); err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
		})
		return &mcpHost{t, in, bufio.NewScanner(out)}
	}
	call := object{"name": "whoami"}

	plain := start()
	plain.asks("initialize", object{"capabilities": object{}})
	said, _ := json.Marshal(plain.asks("tools/call", call)["result"])
	if !strings.Contains(string(said), h.URL+"/connect/") || !strings.Contains(string(said), `"isError":true`) {
		t.Errorf("a host without elicitation is told %s", said)
	}

	m := start()
	if got := m.asks("initialize", object{"capabilities": object{"elicitation": object{"url": object{}}}}); got["error"] != nil {
		t.Fatalf("initialize: %v", got)
	}
	if tools, _ := json.Marshal(m.asks("tools/list", nil)); !strings.Contains(string(tools), `"name":"whoami"`) {
		t.Errorf("the tools are %s", tools)
	}
	refused, _ := m.asks("tools/call", call)["error"].(object)
	if refused["code"] != float64(-32042) {
		t.Fatalf("a call before anything is connected: %v", refused)
	}
	elicited := list(t, refused["data"].(object)["elicitations"])[0]
	address := text(t, elicited, "url")

	s := surf(t, h)
	s.signIn(h.User)
	begun := s.presses(strings.TrimPrefix(address, h.URL))
	if back := s.back(s.approves(begun.to, "ada")); back.status >= 400 {
		t.Fatalf("the return is answered with %d: %.300s", back.status, back.body)
	}
	done := m.hears()
	if done["method"] != "notifications/elicitation/complete" || done["params"].(object)["elicitationId"] != elicited["elicitationId"] {
		t.Fatalf("when the person is done, the host hears %v", done)
	}
	answer, _ := json.Marshal(m.asks("tools/call", call)["result"])
	if !strings.Contains(string(answer), "ada") || !strings.Contains(string(answer), `"isError":false`) {
		t.Errorf("then the tool answers %s", answer)
	}
	mine := list(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/", nil))["data"])
	if token := accessToken(t, h, h.User, text(t, mine[0], "id")); strings.Contains(string(answer), token) {
		t.Error("the host is told the token")
	}
}
