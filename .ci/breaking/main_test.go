package main

import (
	"os"
	"strings"
	"testing"
)

func TestBreakingChangesHaveToBeNamed(t *testing.T) {
	base, err := os.ReadFile("../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	const unreleased = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- `GET providers/{id}/`\n"
	for name, c := range map[string]struct {
		old, new  string
		changelog string
		left      int
	}{
		"nothing":                        {"", "", unreleased, 0},
		"another description":            {`"description": "`, `"description": "Now: `, unreleased, 0},
		"an operation that is gone":      {`"/api/v2/externalOAuth/statistics/": {`, `"/api/v2/externalOAuth/counted/": {`, unreleased, 1},
		"the same, named":                {`"/api/v2/externalOAuth/statistics/": {`, `"/api/v2/externalOAuth/counted/": {`, unreleased + "\n### Breaking\n\n- `GET statistics/` is gone.\n", 0},
		"the same, named by its path":    {`"/api/v2/externalOAuth/statistics/": {`, `"/api/v2/externalOAuth/counted/": {`, unreleased + "\n### Breaking\n\n- Everything below `statistics/`\n", 0},
		"the same, named as an addition": {`"/api/v2/externalOAuth/statistics/": {`, `"/api/v2/externalOAuth/counted/": {`, unreleased + "- `GET statistics/`\n\n### Breaking\n\n### Fixed\n", 1},
		"the same, named in a release":   {`"/api/v2/externalOAuth/statistics/": {`, `"/api/v2/externalOAuth/counted/": {`, unreleased + "\n## [1.0.0]\n\n### Breaking\n\n- `GET statistics/`\n", 1},
	} {
		if c.old != "" && !strings.Contains(string(base), c.old) {
			t.Fatalf("%s: the document has no %s", name, c.old)
		}
		changed := strings.Replace(string(base), c.old, c.new, 1)
		left, err := unnamed(base, []byte(changed), c.changelog)
		if err != nil || len(left) != c.left {
			t.Errorf("%s: %v, %v", name, left, err)
		}
	}
}
