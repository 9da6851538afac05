package services

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// orphanage tells this test binary, started by itself, to start both services,
// print their addresses and folders, and wait to be killed.
const orphanage = "GRANTD_TEST_ORPHANAGE"

func raiseOrphans() {
	for _, start := range []func(context.Context, ...string) (*Server, error){StartPostgres, StartRedis} {
		s, err := start(context.Background())
		if err != nil {
			fmt.Println("missing", err)
			os.Exit(1)
		}
		fmt.Println(s.Addr, s.Folder)
	}
	select {}
}

// TestServersEndWithAKilledTest: a test process that runs into its time-out, or
// is killed, cleans nothing up.
func TestServersEndWithAKilledTest(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the child")
	}
	Shared(t) // skips where services are missing
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), orphanage+"=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	var addrs, folders []string
	for len(addrs) < 2 && lines.Scan() {
		addr, folder, _ := strings.Cut(lines.Text(), " ")
		addrs, folders = append(addrs, addr), append(folders, folder)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for i, addr := range addrs {
		eventually(t, addr+" stops listening", func() bool { return !listens(addr) })
		eventually(t, folders[i]+" is removed", func() bool { return removedBySweep(t, folders[i]) })
	}
	if len(addrs) < 2 {
		t.Fatal("the helper started no servers: ", addrs)
	}
}

// removedBySweep makes the folder old first. PostgreSQL may still be writing to
// it, so that it takes more than one attempt.
func removedBySweep(t *testing.T, folder string) bool {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(folder, old, old); os.IsNotExist(err) {
		return true
	}
	sweepFolders()
	return false
}

func TestAFolderInUseIsNotSwept(t *testing.T) {
	t.Parallel()
	folder, unlock, err := makeFolder()
	must(t, err)
	t.Cleanup(func() { unlock(); _ = os.RemoveAll(folder) })
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(folder, old, old))
	sweepFolders()
	if _, err := os.Stat(filepath.Join(folder, "lock")); err != nil {
		t.Fatal(err)
	}
}

func TestFreePortIsFreeAndOutOfTheKernelsWay(t *testing.T) {
	t.Parallel()
	port, err := freePort()
	must(t, err)
	if port >= 32768 {
		t.Errorf("port %d may be given to an outgoing connection", port)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	must(t, err)
	must(t, l.Close())
}
