// Command mcp is an example: a server of the Model Context Protocol, on standard input and output, whose tool calls the API
// of an upstream for a user. It asks grantd for the token, sends the person to a connect link where nothing is connected,
// and has the host repeat the call once that is done. docs/recipes.md describes it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// Of the Model Context Protocol, 2025-11-25.
const (
	protocol            = "2025-11-25"
	elicitationRequired = -32042
	methodNotFound      = -32601
	internalError       = -32603
)

func main() {
	log.SetFlags(0)
	s := &server{
		grantd: client.New(os.Getenv("GRANTD_URL"), models.Secret(os.Getenv("GRANTD_TOKEN")), nil), user: os.Getenv("GRANTD_USER"),
		provider: os.Getenv("PROVIDER"), whoami: os.Getenv("WHOAMI"), out: json.NewEncoder(os.Stdout),
	}
	if s.user == "" || s.provider == "" || s.whoami == "" {
		log.Fatal("GRANTD_URL, GRANTD_TOKEN (of a service), GRANTD_USER, PROVIDER (a slug) and WHOAMI (an https address of the upstream's API) must be set")
	}
	if err := s.serve(context.Background(), os.Stdin); err != nil {
		log.Fatal(err)
	}
}

// server serves one host, for one user.
type server struct {
	grantd   *client.Client
	user     string
	provider string
	whoami   string // what the tool asks

	elicits bool // the host shows addresses to the person

	mu  sync.Mutex // of out
	out *json.Encoder
}

// message is a request, a notification or an answer.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  any             `json:"result,omitempty"`
	Error   *failure        `json:"error,omitempty"`
}

type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

type object = map[string]any

// serve answers what the host asks, until the host closes the input.
func (s *server) serve(ctx context.Context, in io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var asked struct {
			ID     json.RawMessage
			Method string
			Params struct {
				Name         string
				Capabilities struct {
					Elicitation struct{ URL *struct{} }
				}
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return fmt.Errorf("the host sends what is no message: %w", err)
		}
		answer := message{ID: asked.ID}
		switch asked.Method {
		case "initialize":
			s.elicits = asked.Params.Capabilities.Elicitation.URL != nil
			answer.Result = object{"protocolVersion": protocol, "capabilities": object{"tools": object{}}, "serverInfo": object{"name": "whoami", "version": "1"}}
		case "ping":
			answer.Result = object{}
		case "tools/list":
			answer.Result = object{"tools": []object{{"name": "whoami", "description": "Tells who the user is at " + s.provider + ".", "inputSchema": object{"type": "object"}}}}
		case "tools/call":
			answer.Result, answer.Error = s.call(ctx, asked.Params.Name)
		default:
			answer.Error = &failure{Code: methodNotFound, Message: "There is no method " + asked.Method + "."}
		}
		if asked.ID != nil { // others are notifications, which are not answered
			s.send(answer)
		}
	}
	return lines.Err()
}

func (s *server) send(m message) {
	m.Version = "2.0"
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.out.Encode(m); err != nil {
		log.Print("the host does not listen: ", err)
	}
}

// call runs the tool, or has the person connect an account.
func (s *server) call(ctx context.Context, tool string) (any, *failure) {
	if tool != "whoami" {
		return nil, &failure{Code: methodNotFound, Message: "There is no tool " + tool + "."}
	}
	said, err := s.ask(ctx)
	switch {
	case errors.Is(err, client.ErrConsentNeeded):
		return s.connect(ctx)
	case err != nil:
		return text(err.Error(), true), nil
	}
	return text(said, false), nil
}

func text(said string, failed bool) object {
	return object{"content": []object{{"type": "text", "text": said}}, "isError": failed}
}

// ask calls the API of the upstream with the user's token, which goes to its origin alone.
func (s *server) ask(ctx context.Context) (string, error) {
	authorization, err := s.authorization(ctx)
	if err != nil {
		return "", err
	}
	address, err := url.Parse(s.whoami)
	if err != nil {
		return "", err
	}
	h := &http.Client{Timeout: 30 * time.Second, Transport: s.grantd.For(s.user).Transport(authorization, address.Scheme+"://"+address.Host)}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.whoami, nil)
	if err != nil {
		return "", err
	}
	answer, err := h.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("the upstream answered %s", answer.Status)
	}
	return string(body), err
}

// authorization finds what the user has connected at the provider.
func (s *server) authorization(ctx context.Context) (string, error) {
	for a, err := range s.grantd.For(s.user).Authorizations(ctx, client.AuthorizationQuery{Status: models.AuthorizationActive}) {
		if err != nil {
			return "", err
		}
		if a.Provider != nil && a.Provider.Slug == s.provider {
			return a.ID, nil
		}
	}
	return "", client.ErrConsentNeeded
}

// connect makes a link, which only the user can use, and has the host show it to the person.
func (s *server) connect(ctx context.Context) (any, *failure) {
	link, err := s.grantd.CreateConnectLink(ctx, client.NewConnectLink{UserID: s.user, Slug: s.provider, SignIn: true})
	if err != nil {
		return nil, &failure{Code: internalError, Message: err.Error()}
	}
	say := "Connect your account at " + s.provider
	if !s.elicits {
		return text(say+": "+link.URL+" Then ask again.", true), nil
	}
	go s.await(ctx, link.ID)
	return nil, &failure{Code: elicitationRequired, Message: say + ".", Data: object{"elicitations": []object{
		{"mode": "url", "elicitationId": link.ID, "url": link.URL, "message": say + "."}}}}
}

// await tells the host when the person is done with a link.
func (s *server) await(ctx context.Context, link string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		l, err := s.grantd.ConnectLink(ctx, link)
		if err != nil && !errors.Is(err, client.ErrUnavailable) || l.Status == models.LinkFailed {
			return // the host asks again when the person does
		}
		if l.Status == models.LinkConnected {
			s.send(message{Method: "notifications/elicitation/complete", Params: object{"elicitationId": link}})
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
