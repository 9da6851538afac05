package broker

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// The vector that the libraries of Standard Webhooks are tested with, and the first one of RFC 8032 for the other key.
func TestSignaturesAreThoseOfStandardWebhooks(t *testing.T) {
	shared, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	seed := []byte("\x9d\x61\xb1\x9d\xef\xfd\x5a\x60\xba\x84\x4a\xf4\x92\xec\x2c\xc4\x44\x49\xc5\x69\x7b\x32\x69\x19\x70\x3b\xac\x03\x1c\xae\x7f\x60")
	point := []byte("\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a\x0e\xe1\x72\xf3\xda\xa6\x23\x25\xaf\x02\x1a\x68\xf7\x07\x51\x1a")
	k := webhookKeys{Shared: shared, Seed: seed}
	if k.public() != "whpk_"+base64.StdEncoding.EncodeToString(point) {
		t.Errorf("the public key is %s", k.public())
	}
	body := []byte(`{"test": 2432232314}`)
	both := strings.Fields(signature([]webhookKeys{k, newWebhookKeys()}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), body))
	if len(both) != 4 || both[0] != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Fatalf("signed %v", both)
	}
	signed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(both[1], "v1a,"))
	if err != nil || !ed25519.Verify(point, append([]byte("msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330."), body...), signed) {
		t.Errorf("%s does not verify: %v", both[1], err)
	}
	if one, two := newWebhookKeys(), newWebhookKeys(); bytes.Equal(one.Shared, two.Shared) || bytes.Equal(one.Seed, two.Seed) {
		t.Error("keys are not random")
	}
}
