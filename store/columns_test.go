package store_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A statement whose result changes when a migration adds a column fails once on every connection that has prepared it,
// so that none says *. Inside of a statement a * does no harm, as long as the statement's own result is named.
func TestStatementsNameTheColumnsTheyRead(t *testing.T) {
	t.Parallel()
	inside := map[string]string{
		"fetch_counts.go": "of unnest, and of a WITH whose rows are counted",
		"retries.go":      "of subqueries in FROM",
	}
	star := regexp.MustCompile(`(?i)(SELECT|RETURNING)\s+(\w+\.)?\*|\w\.\*|clause\.Returning\{\}`)
	for _, path := range must(filepath.Glob("*.go"))(t) {
		if strings.HasSuffix(path, "_test.go") || inside[path] != "" {
			continue
		}
		for i, line := range strings.Split(string(must(os.ReadFile(path))(t)), "\n") {
			if code, _, _ := strings.Cut(line, "//"); star.MatchString(code) {
				t.Errorf("%s:%d: name the columns (columns, returning): %s", path, i+1, strings.TrimSpace(line))
			}
		}
	}
}
