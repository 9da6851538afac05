package grantd_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// avoided are words of docs/glossary.md that readers who do not know this project
// misread, and that have no other use here.
var avoided = regexp.MustCompile(`(?i)\b(entomb(ed|s|ing)?|disown(ed|s|ing)?|lest|dead ((access|refresh) )?(token|grant|pair|link)s?|(token|grant|pair)s? (is|are|was|were) dead|luxur(y|ies)|sightings?|whoever (has|holds))\b` +
	`|in the dark|the say over|is left alone|bell cannot be rung`)

// What people read, code and documents, is in plain words.
func TestWordsToAvoid(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "git", "ls-files", "*.go", "*.md", "*.html", "*.sql").Output()
	if err != nil {
		t.Skip("git does not list the files: ", err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		if name == "docs/glossary.md" || name == "words_test.go" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if found := avoided.FindString(line); found != "" {
				t.Errorf("%s:%d says %q; docs/glossary.md has plainer words for it", name, i+1, found)
			}
		}
	}
}
