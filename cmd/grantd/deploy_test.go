package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the files that deploy grantd set are settings, and its pods and containers listen where they are asked.
func TestDeploymentFilesNameSettingsThatExist(t *testing.T) {
	t.Parallel()
	settings := mustRun(t, nil, "help", "settings").out
	files := []string{"../../docker-compose.yml", "../../Dockerfile"}
	err := filepath.WalkDir("../../deploy", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	setting := regexp.MustCompile(`\bGRANTD_[A-Z_]+\b`)
	named := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range setting.FindAllString(string(content), -1) {
			named++
			if !regexp.MustCompile(`\$` + name + `\b`).MatchString(settings) {
				t.Errorf("%s sets %s, which is no setting", file, name)
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d settings were found in %v", named, files)
	}

	pod, err := os.ReadFile("../../deploy/helm/grantd/templates/_helpers.tpl")
	if err != nil {
		t.Fatal(err)
	}
	for _, listened := range []struct{ name, variable string }{{"http", "GRANTD_LISTEN"}, {"metrics", "GRANTD_METRICS_LISTEN"}} {
		at := regexp.MustCompile(listened.variable + `\n +value: 0\.0\.0\.0:(\d+)\n`).FindSubmatch(pod)
		port := regexp.MustCompile(`- name: ` + listened.name + `\n +containerPort: (\d+)\n`).FindSubmatch(pod)
		if at == nil || port == nil || string(at[1]) != string(port[1]) {
			t.Errorf("the chart's port %s is %q, and %s is %q", listened.name, port, listened.variable, at)
		}
	}
}

// Every service of the composition finds the issuers' file, which grantd takes.
func TestTheCompositionTrustsIssuers(t *testing.T) {
	t.Parallel()
	compose, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(compose), "GRANTD_ISSUERS: /issuers/issuers.json\n") ||
		strings.Count(string(compose), "- ./deploy/compose:/issuers:ro\n") != strings.Count(string(compose), "- keyset:/data") {
		t.Error("GRANTD_ISSUERS is not where the services mount deploy/compose")
	}
	if all, err := (&Config{Issuers: "../../deploy/compose/issuers.json"}).trustedIssuers(); err != nil || len(all) != 0 {
		t.Errorf("deploy/compose/issuers.json is read as %v (%v), want none: whoever deploys grantd decides whom it trusts", all, err)
	}
}
