package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// mirror is a service that returns what it is given, with its names.
var mirror = Program{
	Usage: "mirror KEY",
	IsKey: func(key string) bool { return key == "key" },
	Encrypt: func(_ context.Context, key, installation string, data []byte) ([]byte, error) {
		return fmt.Appendf(nil, "%s %s %s", key, installation, data), nil
	},
	Decrypt: func(_ context.Context, _, installation string, data []byte) ([]byte, error) {
		switch installation {
		case "away":
			return nil, fmt.Errorf("503: %w", ErrAway)
		case "refused":
			return nil, errors.New("403")
		}
		return data, nil
	},
}

// What grantd's side of it sends and expects is in docs/kms.md.
func TestARequestIsAnsweredOrRefused(t *testing.T) {
	for input, want := range map[string]struct {
		code           int
		out, complaint string
	}{
		`{"version":1,"operation":"encrypt","context":"one","plaintext":"Ynl0ZXM="}`:      {ExitOK, `{"ciphertext":"a2V5IG9uZSBieXRlcw=="}` + "\n", ""}, // key one bytes
		`{"version":1,"operation":"decrypt","context":"one","ciphertext":"Ynl0ZXM="}`:     {ExitOK, `{"plaintext":"Ynl0ZXM="}` + "\n", ""},
		`{"version":1,"operation":"decrypt","context":"away","ciphertext":"Ynl0ZXM="}`:    {ExitAway, "", "503: it may answer later\n"},
		`{"version":1,"operation":"decrypt","context":"refused","ciphertext":"Ynl0ZXM="}`: {ExitFailed, "", "403\n"},
		`{"version":1,"operation":"shred"}`:                                               {ExitFailed, "", `the operation "shred" is unknown` + "\n"},
		``:                                                                                {ExitUsage, "", "standard input is no request of version 1\n"},
		`{}`:                                                                              {ExitUsage, "", "standard input is no request of version 1\n"},
		`{"version":2}`:                                                                   {ExitUsage, "", "standard input is no request of version 1\n"},
		`{"version":1,"operation":"encrypt","plaintext":"not base64!"}`: {ExitUsage, "", "standard input is no request of version 1\n"},
	} {
		var out, complaints bytes.Buffer
		code := mirror.Run(t.Context(), []string{"key"}, strings.NewReader(input), &out, &complaints)
		if code != want.code || out.String() != want.out || complaints.String() != want.complaint {
			t.Errorf("%s: exit code %d, %q, %q", input, code, &out, &complaints)
		}
	}
	for _, args := range [][]string{nil, {"another"}, {"key", "key"}} {
		var out, complaints bytes.Buffer
		if code := mirror.Run(t.Context(), args, strings.NewReader(""), &out, &complaints); code != ExitUsage || complaints.String() != "usage: mirror KEY\n" || out.Len() > 0 {
			t.Errorf("%q: exit code %d, %q, %q", args, code, &out, &complaints)
		}
	}
}
