// Command vulnerabilities runs govulncheck, the program named first, on the packages named after it, and fails on what the code
// calls of a known vulnerability, unless it is excepted here, with the reason.
//
// It asks vuln.go.dev; where that cannot be reached, it takes the same reports from the module golang.org/x/vulndb, which
// comes through the module proxy.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// excepted are vulnerabilities of packages that grantd calls, in parts or configurations that it does not use. An entry goes
// when a version mends it.
var excepted = map[string]string{
	"GO-2026-6872": "echo's default way to tell a client's address is not used: api.newEcho sets one that trusts GRANTD_TRUSTED_PROXIES only",
	"GO-2026-6875": "echo's reverse proxy is not used",
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: vulnerabilities GOVULNCHECK PACKAGE...")
		os.Exit(2)
	}
	called, err := check(context.Background(), os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulnerabilities:", err)
		os.Exit(1)
	}
	failed := false
	for _, id := range slices.Sorted(maps.Keys(called)) {
		if why := excepted[id]; why != "" {
			fmt.Printf("%s: excepted: %s\n", id, why)
			continue
		}
		failed = true
		fmt.Printf("%s: %s\n", id, called[id])
	}
	for id := range excepted {
		if called[id] == "" {
			fmt.Printf("%s is not found any more: delete its exception\n", id)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// report is the part of a report in the OSV format that is read here.
type report struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Summary  string    `json:"summary"`
	Affected []struct {
		Package struct{ Name string } `json:"package"`
	} `json:"affected"`
}

// check returns what is called of vulnerabilities: what each is, and where it was found and is mended, by its id.
func check(ctx context.Context, govulncheck string, packages []string) (map[string]string, error) {
	args := []string{"-format", "json"}
	if !reachable(ctx) {
		fmt.Println("vuln.go.dev cannot be reached; the reports are those of the module golang.org/x/vulndb")
		database, err := os.MkdirTemp("", "vulnerabilities")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(database)
		if err := fromModule(ctx, database); err != nil {
			return nil, err
		}
		args = append(args, "-db", "file://"+database)
	}
	cmd := exec.CommandContext(ctx, govulncheck, append(args, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("govulncheck: %w", err)
	}
	summaries, called := map[string]string{}, map[string]string{}
	messages := json.NewDecoder(bytes.NewReader(out))
	for {
		var m struct {
			OSV     *report
			Finding *struct {
				OSV          string
				FixedVersion string `json:"fixed_version"`
				Trace        []struct{ Module, Version, Package, Function string }
			}
		}
		if err := messages.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if m.OSV != nil {
			summaries[m.OSV.ID] = m.OSV.Summary
		}
		if f := m.Finding; f != nil && f.Trace[0].Function != "" {
			mended := "no version mends it"
			if f.FixedVersion != "" {
				mended = "mended in " + f.FixedVersion
			}
			called[f.OSV] = fmt.Sprintf("%s (%s %s, %s)", summaries[f.OSV], f.Trace[0].Module, f.Trace[0].Version, mended)
		}
	}
	return called, nil
}

func reachable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://vuln.go.dev/index/db.json", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = answer.Body.Close() // nothing is read
	return answer.StatusCode == http.StatusOK
}

// fromModule makes a database, as https://go.dev/doc/security/vuln/database describes it, of the newest reports that the module
// proxy has.
func fromModule(ctx context.Context, database string) error {
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", "golang.org/x/vulndb@latest")
	download.Dir = database // outside any module
	download.Stderr = os.Stderr
	out, err := download.Output()
	if err != nil {
		return fmt.Errorf("downloading golang.org/x/vulndb: %w", err)
	}
	var module struct{ Dir, Version string }
	if err := json.Unmarshal(out, &module); err != nil {
		return err
	}
	fmt.Println("golang.org/x/vulndb", module.Version)
	files, err := filepath.Glob(filepath.Join(module.Dir, "data", "osv", "*.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("golang.org/x/vulndb has no reports: %w", err)
	}
	type entry struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
	}
	type vulnerable struct {
		Path            string  `json:"path"`
		Vulnerabilities []entry `json:"vulns"`
	}
	modules := map[string]*vulnerable{}
	var last time.Time
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var r report
		if err := json.Unmarshal(content, &r); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		if r.Modified.After(last) {
			last = r.Modified
		}
		seen := map[string]bool{}
		for _, a := range r.Affected {
			if path := a.Package.Name; !seen[path] {
				seen[path] = true
				if modules[path] == nil {
					modules[path] = &vulnerable{Path: path}
				}
				modules[path].Vulnerabilities = append(modules[path].Vulnerabilities, entry{r.ID, r.Modified})
			}
		}
		if err := write(database, content, "ID", filepath.Base(file)); err != nil {
			return err
		}
	}
	all := slices.SortedFunc(maps.Values(modules), func(a, b *vulnerable) int { return strings.Compare(a.Path, b.Path) })
	for name, v := range map[string]any{"modules.json": all, "db.json": map[string]time.Time{"modified": last}} {
		content, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := write(database, content, "index", name); err != nil {
			return err
		}
	}
	return nil
}

func write(folder string, content []byte, path ...string) error {
	file := filepath.Join(append([]string{folder}, path...)...)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}
