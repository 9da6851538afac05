package testidp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// defaultScope is what minted grants have.
const defaultScope = "openid profile email"

// controlRoutes mounts the remote control, for tests that run what they test in
// processes of its own. Pages in a browser are kept out of it.
func (s *Server) controlRoutes(mux *http.ServeMux) {
	handle := func(pattern string, h http.HandlerFunc) {
		mux.Handle(pattern, http.NewCrossOriginProtection().Handler(h))
	}
	handle("GET /_control/stats", control(func(struct{}) (any, error) { return s.Stats(), nil }))
	handle("GET /_control/faults", control(func(struct{}) (any, error) { return s.Faults(), nil }))
	handle("POST /_control/faults", control(func(in faultList) (any, error) { return done, s.inject(in) }))
	handle("DELETE /_control/faults", control(func(struct{}) (any, error) { s.ClearFaults(); return done, nil }))
	handle("POST /_control/reset", control(func(struct{}) (any, error) { s.Reset(); return done, nil }))
	handle("POST /_control/expire", control(func(struct{}) (any, error) {
		return map[string]int{"expired": s.ExpireAccessTokens()}, nil
	}))
	handle("POST /_control/access_ttl", control(s.controlTTL))
	handle("POST /_control/client", control(s.controlClient))
	handle("POST /_control/secret", control(s.controlSecret))
	handle("POST /_control/mint", control(s.controlMint))
	handle("POST /_control/device", control(s.controlDevice))
}

// done is what control calls answer that have nothing to say.
var done = struct{}{}

// control adapts a function to HTTP: JSON in, JSON out, errors as 400.
func control[In any](do func(In) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err == nil && len(body) > 0 {
			err = strict(body, &in)
		}
		var out any
		if err == nil {
			out, err = do(in)
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, out)
	}
}

// strict refuses unknown fields: a misspelt fault would never strike.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// faultList reads one fault or a list of them.
type faultList []Fault

func (l *faultList) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("[")) {
		return strict(b, (*[]Fault)(l))
	}
	*l = make(faultList, 1)
	return strict(b, &(*l)[0])
}

type ttlInput struct {
	Seconds float64 `json:"seconds"`
}

func (s *Server) controlTTL(in ttlInput) (any, error) {
	s.SetAccessTTL(time.Duration(in.Seconds * float64(time.Second)))
	return done, nil
}

type clientInput struct {
	ID           string   `json:"client_id"`
	Secret       string   `json:"client_secret"`
	RedirectURIs []string `json:"redirect_uris"`
}

func (s *Server) controlClient(in clientInput) (any, error) {
	if in.ID == "" {
		return nil, fmt.Errorf("client_id is missing")
	}
	s.AddClient(Client(in))
	return done, nil
}

type secretInput struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

func (s *Server) controlSecret(in secretInput) (any, error) {
	return done, s.setSecret(in.ID, in.Secret)
}

// mintInput asks for grants of the people prefix1, prefix2 and so on.
type mintInput struct {
	ClientID string `json:"client_id"`
	Count    int    `json:"count"`
	Prefix   string `json:"prefix"`
}

type mintOutput struct {
	ExpiresIn int64    `json:"expires_in"`
	Tokens    []minted `json:"tokens"`
}

type minted struct {
	User         string `json:"user"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

func (s *Server) controlMint(in mintInput) (any, error) {
	if in.Prefix == "" {
		in.Prefix = "user"
	}
	if in.Count < 0 || in.Count > 1_000_000 {
		return nil, fmt.Errorf("count must be between 0 and a million")
	}
	out := mintOutput{ExpiresIn: seconds(time.Duration(s.accessTTL.Load())), Tokens: make([]minted, in.Count)}
	for i := range out.Tokens {
		user := fmt.Sprint(in.Prefix, i+1)
		g, err := s.mint(in.ClientID, user)
		if err != nil {
			return nil, err
		}
		out.Tokens[i] = minted{user, g.access, g.refresh}
	}
	return out, nil
}

// Mint makes a grant as if the person had consented, in no time. It panics
// when there is no such client.
func (s *Server) Mint(clientID, user string) (access, refresh string) {
	g, err := s.mint(clientID, user)
	must(err)
	return g.access, g.refresh
}

// MintAccess is Mint without a refresh token, as GitHub's OAuth Apps have it.
func (s *Server) MintAccess(clientID, user string) (access string) {
	if _, ok := s.clients.get(clientID); !ok {
		must(fmt.Errorf("no client %q", clientID))
	}
	t := s.terms(standard)
	t.refresh = ""
	return s.ledger.open(owner{clientID, findPerson(user).Login}, defaultScope, t).access
}

// Know makes a grant whose tokens another server gave out, as one does that comes up
// again with the same database.
func (s *Server) Know(clientID, user, access, refresh string) {
	t := s.terms(standard)
	t.access, t.refresh = access, refresh
	s.ledger.open(owner{clientID, findPerson(user).Login}, defaultScope, t)
}

func (s *Server) mint(clientID, user string) (grant, error) {
	if _, ok := s.clients.get(clientID); !ok {
		return grant{}, fmt.Errorf("no client %q", clientID)
	}
	return s.ledger.open(owner{clientID, findPerson(user).Login}, defaultScope, s.terms(standard)), nil
}
