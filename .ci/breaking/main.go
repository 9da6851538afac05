// Command breaking compares docs/openapi.json with that of the last release, or where there is none, of the commit before. It
// fails where a client of the older document could break and the changelog does not say so: under "### Breaking" of
// [Unreleased], in backticks, the operation (`PATCH providers/{id}/`) or the path that it is below (`providers/`).
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	"github.com/oasdiff/oasdiff/load"
)

const document = "docs/openapi.json"

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: breaking FOLDER, which is grantd's repository")
	}
	if err := check(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func check(repository string) error {
	base, from := former(repository)
	if base == nil {
		fmt.Println("there is no former", document, "to compare with")
		return nil
	}
	current, err := os.ReadFile(filepath.Join(repository, document))
	if err != nil {
		return err
	}
	changelog, err := os.ReadFile(filepath.Join(repository, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	changes, err := unnamed(base, current, string(changelog))
	if err != nil || len(changes) == 0 {
		return err
	}
	return fmt.Errorf("clients of %s at %s may break, and CHANGELOG.md does not name the operations under \"### Breaking\":\n%s", document, from, strings.Join(changes, "\n"))
}

// former is the document to compare with, and of which commit it is.
func former(repository string) (content []byte, from string) {
	from = "HEAD~1"
	if tag, err := git(repository, "describe", "--tags", "--abbrev=0"); err == nil {
		from = strings.TrimSpace(string(tag))
	}
	content, err := git(repository, "show", from+":"+document)
	if err != nil {
		return nil, from
	}
	return content, from
}

func git(repository string, arguments ...string) ([]byte, error) {
	return exec.Command("git", append([]string{"-C", repository}, arguments...)...).Output()
}

// unnamed are the changes that may break clients and that a changelog does not name.
func unnamed(base, current []byte, changelog string) ([]string, error) {
	loader := openapi3.NewLoader()
	documents := make([]*load.SpecInfo, 2)
	for n, content := range [][]byte{base, current} {
		spec, err := loader.LoadFromData(content)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", document, err)
		}
		documents[n] = &load.SpecInfo{Spec: spec}
	}
	differences, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(), documents[0], documents[1])
	if err != nil {
		return nil, fmt.Errorf("comparing %s: %w", document, err)
	}
	named := namedIn(changelog)
	var left []string
	for _, c := range checker.CheckBackwardCompatibility(checker.NewConfig(checker.GetAllChecks()), differences, sources) {
		if c.GetLevel() == checker.ERR && !covered(named, c.GetOperation(), c.GetPath()) {
			left = append(left, fmt.Sprintf("  %s %s: %s", c.GetOperation(), short(c.GetPath()), c.GetUncolorizedText(checker.NewDefaultLocalizer())))
		}
	}
	return left, nil
}

var quoted = regexp.MustCompile("`([^`]+)`")

// namedIn lists what a changelog has in backticks under the heading about what breaks.
func namedIn(changelog string) []string {
	_, rest, _ := strings.Cut(changelog, "## [Unreleased]")
	rest, _, _ = strings.Cut(rest, "\n## ")
	_, rest, _ = strings.Cut(rest, "\n### Breaking\n")
	rest, _, _ = strings.Cut(rest, "\n### ")
	var all []string
	for _, m := range quoted.FindAllStringSubmatch(rest, -1) {
		all = append(all, m[1])
	}
	return all
}

// covered reports whether an operation is named: itself, or a path that it is below.
func covered(named []string, method, path string) bool {
	for _, name := range named {
		if name == method+" "+short(path) || strings.HasSuffix(name, "/") && strings.HasPrefix(short(path), name) {
			return true
		}
	}
	return false
}

// short is a path as documents write it.
func short(path string) string {
	return strings.TrimPrefix(path, "/api/v2/externalOAuth/")
}
