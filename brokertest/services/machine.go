package services

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// machine is where services are looked for; tests make poorer ones.
type machine struct {
	getenv  func(string) string
	folders []string // with programs, in the order of preference; patterns are allowed
	docker  string   // the docker program, "" for none
}

func thisMachine() machine {
	docker, _ := exec.LookPath("docker")
	return machine{
		getenv: os.Getenv,
		docker: docker,
		// Debian keeps PostgreSQL's programs out of the PATH, as do the
		// packages of other systems.
		folders: append(filepath.SplitList(os.Getenv("PATH")),
			"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin",
			"/usr/local/opt/postgresql*/bin", "/opt/homebrew/opt/postgresql*/bin",
			"/usr/local/bin", "/usr/local/sbin", "/opt/homebrew/bin"),
	}
}

// find returns the first folder's program of that name which has all the others
// beside it, "" for none. Of several versions it takes the highest.
func (m machine) find(name string, beside ...string) string {
	for _, pattern := range m.folders {
		folders, _ := filepath.Glob(pattern)
		fixed, _, _ := strings.Cut(pattern, "*")
		slices.SortFunc(folders, func(a, b string) int {
			return version(b[len(fixed):]) - version(a[len(fixed):])
		})
		for _, f := range folders {
			if path := filepath.Join(f, name); holdsAll(f, append(beside, name)) {
				return path
			}
		}
	}
	return ""
}

func holdsAll(folder string, names []string) bool {
	for _, n := range names {
		if _, err := exec.LookPath(filepath.Join(folder, n)); err != nil {
			return false
		}
	}
	return true
}

// version returns the first number in s, so that 15 is above 9.6.
func version(s string) int {
	isDigit := func(r rune) bool { return r >= '0' && r <= '9' }
	s = s[max(0, strings.IndexFunc(s, isDigit)):]
	n, _ := strconv.Atoi(s[:len(s)-len(strings.TrimLeft(s, "0123456789"))])
	return n
}
