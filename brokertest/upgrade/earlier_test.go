package upgrade_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest/services"
)

// earlier returns a binary of the commit that is upgraded from, which .ci/upgrade-from names: that of the last release or,
// until there is one, the newest one with another schema. It is built once and kept in the user's cache. Where the commit
// is not in the repository it is fetched, alone; where it cannot be had the test fails.
func earlier(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	commit := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(root, ".ci", "upgrade-from")))(t)))
	if _, err := git(t.Context(), root, "rev-parse", "--git-dir"); err != nil {
		services.Skip(t, "the release before is built from the repository's history, and there is none: "+err.Error())
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	binary := filepath.Join(cache, "grantd-tests", commit+"-"+runtime.Version()+"-"+runtime.GOOS+"-"+runtime.GOARCH, "grantd")
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	if _, err := git(t.Context(), root, "cat-file", "-e", commit+"^{commit}"); err != nil {
		if _, err := git(t.Context(), root, "fetch", "--depth=1", "origin", commit); err != nil {
			t.Fatalf("the commit of .ci/upgrade-from is not here and cannot be fetched: %v", err)
		}
	}
	tree, built := t.TempDir(), filepath.Join(t.TempDir(), "grantd")
	archive := must(git(t.Context(), root, "archive", commit))(t)
	unpack := exec.CommandContext(t.Context(), "tar", "--extract", "--directory="+tree)
	unpack.Stdin = bytes.NewReader(archive)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpacking commit %s: %v\n%s", commit, err, out)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", built, "./cmd/grantd")
	build.Dir = tree
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building commit %s: %v\n%s", commit, err, out)
	}
	return keep(t, built, binary)
}

// keep moves the binary to where the next run finds it, or leaves it where that cannot be written.
func keep(t *testing.T, built, binary string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return built
	}
	written, err := os.CreateTemp(filepath.Dir(binary), "new-")
	if err != nil {
		return built
	}
	_, err = written.Write(must(os.ReadFile(built))(t))
	if err = errors.Join(err, written.Chmod(0o755), written.Close()); err == nil {
		err = os.Rename(written.Name(), binary) // whole, or not at all
	}
	if err != nil {
		t.Logf("the binary of the release before is not kept for the next run: %v", errors.Join(err, os.Remove(written.Name())))
		return built
	}
	return binary
}

func git(ctx context.Context, root string, args ...string) ([]byte, error) {
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(err, errors.New(strings.TrimSpace(complaint.String())))
	}
	return out.Bytes(), nil
}
