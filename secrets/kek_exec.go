package secrets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// exitAway is the exit code of a program that should be asked again later: EX_TEMPFAIL of sysexits.h.
const exitAway = 75

// execKEK asks a program, which knows some KMS: once for each call, by JSON over standard input and output.
type execKEK struct {
	command []string
	timeout time.Duration
}

// execRequest is what the program reads. Plaintext is given for "encrypt" and Ciphertext for "decrypt"; both are base64.
type execRequest struct {
	Version    int    `json:"version"` // 1
	Operation  string `json:"operation"`
	Context    string `json:"context"` // what the ciphertext is bound to, where the KMS can do that
	Plaintext  []byte `json:"plaintext,omitempty"`
	Ciphertext []byte `json:"ciphertext,omitempty"`
}

// execAnswer is what it writes.
type execAnswer struct {
	Plaintext  []byte `json:"plaintext"`
	Ciphertext []byte `json:"ciphertext"`
}

// NewExecKEK returns a key that a program has encrypt and decrypt: its absolute path, and arguments, separated by spaces.
// docs/kms.md describes what it is asked and answers.
func NewExecKEK(command string) (KEK, error) {
	fields := strings.Fields(command)
	if len(fields) == 0 || !filepath.IsAbs(fields[0]) {
		return nil, errors.New("exec: must be followed by the absolute path of a program, and its arguments if it needs any")
	}
	return execKEK{fields, kekTimeout}, nil
}

func (k execKEK) String() string { return "exec:" + k.command[0] }

func (k execKEK) Encrypt(ctx context.Context, installation string, key []byte) ([]byte, error) {
	answer, err := k.run(ctx, execRequest{Version: 1, Operation: "encrypt", Context: installation, Plaintext: key})
	if err == nil && len(answer.Ciphertext) == 0 {
		err = errors.New("the program did not answer with a ciphertext")
	}
	return answer.Ciphertext, err
}

func (k execKEK) Decrypt(ctx context.Context, installation string, encrypted []byte) ([]byte, error) {
	answer, err := k.run(ctx, execRequest{Version: 1, Operation: "decrypt", Context: installation, Ciphertext: encrypted})
	if err == nil && len(answer.Plaintext) == 0 {
		err = errors.New("the program did not answer with a plaintext")
	}
	return answer.Plaintext, err
}

// run asks the program once. What it prints is not repeated in errors, but for a part of its standard error where it fails.
func (k execKEK) run(ctx context.Context, request execRequest) (answer execAnswer, err error) {
	input, err := json.Marshal(request)
	if err != nil {
		return answer, fmt.Errorf("encoding the request: %w", err)
	}
	defer clear(input)
	limited, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, k.command[0], k.command[1:]...)
	cmd.Env = withoutSettings(os.Environ())
	cmd.Stdin = bytes.NewReader(input)
	output, complaint := &head{most: maxKEKAnswer}, &head{most: 4 << 10}
	defer func() { clear(output.text) }()
	cmd.Stdout, cmd.Stderr = output, complaint
	killWhole(cmd)
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return answer, ctx.Err()
	case limited.Err() != nil:
		return answer, fmt.Errorf("the program did not end within %s: %w", k.timeout, ErrAway)
	case errors.As(err, &exit) && exit.ExitCode() == exitAway:
		return answer, fmt.Errorf("the program failed%s: %w", said(complaint), ErrAway)
	case errors.As(err, &exit):
		return answer, fmt.Errorf("the program failed (%s)%s", exit, said(complaint))
	case err != nil:
		return answer, fmt.Errorf("running the program: %w", err)
	case output.over:
		return answer, fmt.Errorf("the program answered with more than %d bytes", maxKEKAnswer)
	}
	if json.Unmarshal(output.text, &answer) != nil { // its error may repeat what was read
		return execAnswer{}, errors.New("the program did not answer with one JSON object in which keys are base64")
	}
	return answer, nil
}

func said(complaint *head) string {
	if text := outside(string(complaint.text)); text != "" {
		return ", and wrote " + text
	}
	return ""
}

// withoutSettings leaves out grantd's own variables, among which are passwords that a program has no need of.
func withoutSettings(environ []string) []string {
	var kept []string
	for _, pair := range environ {
		if !strings.HasPrefix(pair, "GRANTD_") {
			kept = append(kept, pair)
		}
	}
	return kept
}

// head keeps the beginning of what is written.
type head struct {
	text []byte // not a bytes.Buffer, whose ReadFrom would be used instead of Write
	most int
	over bool
}

// Write implements io.Writer; it takes everything, so that a program that writes too much ends by itself.
func (h *head) Write(p []byte) (int, error) {
	room := min(h.most-len(h.text), len(p))
	h.over = h.over || room < len(p)
	h.text = append(h.text, p[:room]...)
	return len(p), nil
}
