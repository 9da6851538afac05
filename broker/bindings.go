package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
)

// What tokens, secrets and grants are bound to: the fingerprint of a client and its
// endpoints, the owner of a client secret, and the key of a grant. Each has a version,
// so that rows of the release before go on working: see
// docs/decisions/0021-versions-of-keys-and-bindings.md and upgrade.go.

// secretOwner binds a client secret to the client and every endpoint it may be sent
// to: with a row whose host or path was tampered with it does not open (K1).
func (s *Service) secretOwner(configID string, p models.Provider) secrets.Owner {
	return secrets.SecretOwner(configID, p.ID, p.OrgID, p.Type, p.ClientID, s.at(p).Bound())
}

// secretOwnerV1 binds to the origins alone.
func (s *Service) secretOwnerV1(configID string, p models.Provider) secrets.Owner {
	return secrets.SecretOwnerV1(configID, p.ID, p.OrgID, p.Type, p.ClientID, s.at(p).Origins())
}

// openSecret opens a client secret and returns under which owner. One that is bound
// to the origins alone opens only while the row gives the fingerprint that was stored
// with it, which holds the paths too.
func (s *Service) openSecret(p models.Provider, config models.SecureConfig) (models.Secret, secrets.Owner, error) {
	var secret string
	owner := s.secretOwner(config.ID, p)
	err := s.openJSON(owner, config.Sealed, &secret)
	if undecryptable(err) && s.at(p).fingerprintV1() == p.Fingerprint {
		owner = s.secretOwnerV1(config.ID, p)
		err = s.openJSON(owner, config.Sealed, &secret)
	}
	if err != nil {
		s.metrics.Undecryptable()
	}
	return models.Secret(secret), owner, err
}

// fingerprint names a client and what must not change under its tokens: every
// endpoint, and the field that names the account (A4).
func (at upstream) fingerprint() string {
	return digest("fingerprint", append([]string{at.provider.Type, at.provider.ClientID}, at.Bound()...)...)
}

func (at upstream) fingerprintV1() string {
	return digestV1(append([]string{at.provider.Type, at.provider.ClientID}, at.FixedBefore()...)...)
}

// describes reports whether a provider's fingerprint is that of its row, in either
// version.
func (s *Service) describes(p models.Provider) bool {
	at := s.at(p)
	return at.fingerprintV1() == p.Fingerprint || at.fingerprint() == p.FingerprintV2
}

// samePlace reports whether a changed provider is the client it was, however its
// endpoints are written now.
func (s *Service) samePlace(before, after models.Provider) bool {
	return s.describes(before) && s.at(before).fingerprint() == s.at(after).fingerprint()
}

// grantKey names what a grant-wide revocation upstream would take: this account's
// grant to this client, whichever provider holds it here (D1).
func (at upstream) grantKey(org, sub string) string {
	return digest("grant", append(at.Grant(org), sub)...)
}

func (at upstream) grantKeyV1(sub string) string {
	domain, origins := at.GrantBefore()
	return digestV1(append([]string{at.provider.Type, domain, sub}, origins...)...)
}

// setGrant sets the grant keys of an authorization: also that of the first version, as
// long as processes may run that know no other.
func (at upstream) setGrant(a *models.Authorization) {
	a.GrantKey, a.GrantKeyV1 = at.grantKey(a.OrgID, a.Sub), ""
	if at.s.former.Load() {
		a.GrantKeyV1 = at.grantKeyV1(a.Sub)
	}
}

// grantKeys are the keys of an authorization's grant that a lease takes, in the order
// in which every process takes them.
func (s *Service) grantKeys(a models.Authorization) []string {
	var keys []string
	if a.GrantKeyV1 != "" && s.former.Load() {
		keys = append(keys, a.GrantKeyV1)
	}
	if a.GrantKey != "" {
		keys = append(keys, a.GrantKey)
	}
	return keys
}

// digest is of the second version: what it is about and the length of each part are
// in it, so that no two lists of parts give the same.
func digest(about string, parts ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s v2", about)
	for _, p := range parts {
		fmt.Fprintf(&b, "\n%d:%s", len(p), p)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

func digestV1(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
