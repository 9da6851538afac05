package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	for _, c := range []struct {
		line []string
		want []string // among others, where it ends with "…"
	}{
		{[]string{"to"}, []string{"token", "tokens"}},
		{[]string{"providers", "up"}, []string{"update"}},
		{[]string{"token", ""}, []string{"create", "get", "list", "revoke"}},
		{[]string{"token", "--fo"}, []string{"--for"}},
		{[]string{"--data", "serve", "token", "cr"}, []string{"create"}}, // the value of a flag is no command
		{[]string{"--data=x", "keys", "re"}, []string{"remove", "reseal"}},
		{[]string{"token", "create", "--ro"}, []string{"--role"}},
		{[]string{"token", "create", "--role", ""}, nil},
		{[]string{"serve", "--public"}, []string{"--public-url"}},
		{[]string{"completion", ""}, []string{"bash", "fish", "zsh"}},
		{[]string{"providers", "list", "--outp"}, []string{"--output"}},
		{[]string{"nothing-like-this"}, nil},
		{nil, []string{"api", "serve", "worker", "…"}},
	} {
		out := mustRun(t, nil, slices.Concat([]string{"completion", "words", "--"}, c.line)...).out
		got := strings.Fields(out)
		if n := len(c.want); n > 0 && c.want[n-1] == "…" {
			got = slices.DeleteFunc(got, func(s string) bool { return !slices.Contains(c.want, s) })
			c.want = c.want[:n-1]
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q completes to %q, want %q", c.line, got, c.want)
		}
	}
}

// A real bash asks what the script tells it to ask. grantd is a stand-in that notes the
// question, and answers it.
func TestBashAsksForCompletions(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("left out: bash, which is not installed")
	}
	folder := t.TempDir()
	standIn := "#!/bin/sh\nprintf '%s|' \"$@\" >" + folder + "/asked\nprintf 'create\\nlist\\n'\n"
	if err := os.WriteFile(filepath.Join(folder, "grantd"), []byte(standIn), 0o700); err != nil {
		t.Fatal(err)
	}
	script := mustRun(t, nil, "completion", "bash").out + `
COMP_WORDS=(grantd token "" more); COMP_CWORD=2; _grantd; printf '%s,' "${COMPREPLY[@]}"`
	cmd := exec.Command(bash, "-c", script)
	cmd.Env = []string{"PATH=" + folder + ":" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	asked, _ := os.ReadFile(filepath.Join(folder, "asked"))
	if got := fmt.Sprintf("%s asked %s", out, asked); err != nil || got != "create,list, asked completion|words|--|token||" {
		t.Errorf("bash completes %s (%v)", got, err)
	}
}
