package broker

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// webhookKeys sign what is sent to one webhook, as Standard Webhooks describes it: with a secret that the receiver shares
// (v1, HMAC-SHA256), and with a key whose public half is no secret (v1a, Ed25519). A receiver verifies either.
type webhookKeys struct {
	Shared []byte `json:"s"`
	Seed   []byte `json:"e"` // of the Ed25519 key
}

func newWebhookKeys() webhookKeys {
	k := webhookKeys{Shared: make([]byte, 32), Seed: make([]byte, ed25519.SeedSize)}
	rand.Read(k.Shared)
	rand.Read(k.Seed)
	return k
}

// secret is the shared secret as receivers are given it.
func (k webhookKeys) secret() models.Secret {
	return models.Secret("whsec_" + base64.StdEncoding.EncodeToString(k.Shared))
}

// public is the key that verifies v1a.
func (k webhookKeys) public() string {
	public, _ := ed25519.NewKeyFromSeed(k.Seed).Public().(ed25519.PublicKey)
	return "whpk_" + base64.StdEncoding.EncodeToString(public)
}

// signature is the header webhook-signature of one attempt, by each of the keys.
func signature(keys []webhookKeys, id string, at time.Time, body []byte) string {
	signed := append([]byte(id+"."+strconv.FormatInt(at.Unix(), 10)+"."), body...)
	var all []string
	for _, k := range keys {
		mac := hmac.New(sha256.New, k.Shared)
		mac.Write(signed)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)),
			"v1a,"+base64.StdEncoding.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(k.Seed), signed)))
	}
	return strings.Join(all, " ")
}
