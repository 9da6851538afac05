package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/grantd/grantd/models"
)

// demoIssuer gives the demo's service an identity, as a platform would: grantd trusts what it signs, and no API token is
// made.
type demoIssuer struct {
	key  *ecdsa.PrivateKey
	file string // for GRANTD_ISSUERS
}

const (
	demoIssuerURL = "https://platform.demo.test"
	demoAudience  = "https://grantd.demo.test"
	demoService   = "reports"
)

// newDemoIssuer makes a key, and writes the list of trusted issuers to dir.
func newDemoIssuer(dir string) (*demoIssuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes() // 4, x and y
	if err != nil {
		return nil, err
	}
	i := &demoIssuer{key: key, file: filepath.Join(dir, "issuers.json")}
	keys := filepath.Join(dir, "keys.json")
	err = writeJSON(keys, map[string]any{"keys": []map[string]string{{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
		"x": encoded(point[1:33]), "y": encoded(point[33:])}}})
	if err != nil {
		return nil, err
	}
	return i, writeJSON(i.file, map[string]any{"issuers": []issuerEntry{{Name: "platform", Issuer: demoIssuerURL, JWKSFile: keys, Audience: demoAudience,
		Algorithms: []string{"ES256"}, Organisation: "demo", User: "sub", Users: "prefixed", Role: models.RoleService, Providers: []string{"demo"}, MaxAge: "1h",
		Rules: []issuersRule{{Claim: "sub", Equals: demoService}}}}})
}

// bearer is a token of the service, which lives for as long as the demo may take.
func (i *demoIssuer) bearer() (models.Secret, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"iss": demoIssuerURL, "aud": demoAudience, "sub": demoService, "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()})
	if err != nil {
		return "", err
	}
	signed := encoded([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + encoded(claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, digest[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return models.Secret(signed + "." + encoded(signature[:])), nil
}

func encoded(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func writeJSON(name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", filepath.Base(name), err)
	}
	return os.WriteFile(name, raw, 0o600)
}
