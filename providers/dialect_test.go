package providers

import (
	"cmp"
	"net/http"
	"time"

	"github.com/grantd/grantd/models"
)

// dialects has a line for every type, written by the type's own test: its
// upstream at a host. TestConformance fails on a type without one.
var dialects = map[string]func(host string) dialect{}

// dialect is what an upstream does, as its documentation says and never as the
// Type does, which it judges. The zero value of a field is the RFCs' way.
type dialect struct {
	// The client, as an admin registers it here.
	clientID string
	config   map[string]any
	scopes   []string // what is asked for when the provider names none
	narrowed []string // of these the last is not granted; nil = scopes

	// Where things are; "" = there is none.
	authorizeURL, tokenURL, revokeURL, introspectURL, deviceURL, settingsURL string

	// The authorization request and its answer.
	asks         map[string]string // extra parameters
	asksSkipping map[string]string // the same, when consent is to be skipped
	iss          string            // what comes back; "" = none
	promisesIss  bool
	openID       bool // an id_token, bound by a nonce

	// The token endpoint.
	basic              bool              // else the client authenticates in the form
	refreshAsks        map[string]string // extra parameters of a refresh
	rotation           rotation
	grace              bool // a refresh token that was spent works on for a while
	refreshKillsAccess bool
	life, refreshLife  time.Duration // of tokens; 0 = an hour, and unknown
	answer             func(fields map[string]any)
	spell              func(scope string) string             // how a granted scope is written
	echo               func(granted []string) map[string]any // how they are joined, nil = a string with spaces
	invalidCode        says
	invalidRefresh     says
	badClient          says

	// Giving back.
	kills            killing
	revokesUnasked   bool // without the client's authentication
	revokeInvalid    says // what an invalid token gets
	revokeBadClient  says // what a wrong secret gets; zero = badClient
	expiredIsSilent  bool // an expired access token gets 200, and nothing is revoked
	needsAccess      bool // a refresh token is no proof
	refreshOutlives  bool // a single revocation leaves the refresh token
	grantKillsAll    bool // RevokeGrant also ends the other pairs of the person
	checkTellsScopes bool

	// Beside the standard: resources want a living access token in the header,
	// documents nothing, special ones look at everything themselves. Keys are a
	// method and a whole URL.
	resources map[string]func(s *strict, p *pair, r *http.Request) (status int, body any)
	documents map[string]any
	special   map[string]func(s *strict, w http.ResponseWriter, r *http.Request, body []byte)
	noBearer  says // what an invalid access token gets

	device deviceDialect

	user     models.User // without Raw: whom the resources name
	fixtures []fixture
}

// says is an answer.
type says struct {
	status int
	body   string
}

func (a says) or(b says) says { return cmp.Or(a, b) }

// rotation is what a refresh does to the refresh token.
type rotation int

const (
	rotates rotation = iota // the old one is no longer valid, the answer has the next
	keeps                   // the answer has none, the old one works on
	renews                  // the answer has one, and the old one works on
)

// killing is what the revocation of one token also ends.
type killing int

const (
	killsPair  killing = iota // its access and refresh token
	killsToken                // an access token goes alone, a refresh token with its access token
	killsGrant                // everything the person granted to the client
)

// deviceDialect is the device flow's.
type deviceDialect struct {
	fields func(fields map[string]any)
	states map[DeviceState]says
}

// fixture is an answer that was seen, and what it means.
type fixture struct {
	name    string
	call    call
	says    says
	kind    Kind
	code    string
	outcome models.Outcome
}
