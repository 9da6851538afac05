package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheBrandIsJudged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	svg := file("logo.svg", `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>`)
	mustRun(t, []string{"GRANTD_BRAND_NAME=Acme Connections", "GRANTD_BRAND_LOGO=" + svg, "GRANTD_SUPPORT_URL=https://help.example.com/?a=b"}, "config")
	for _, setting := range []string{
		"BRAND_NAME=" + strings.Repeat("x", 41), "BRAND_NAME=a\nb", "BRAND_LOGO=" + file("page.html", "<html/>"), "BRAND_LOGO=" + file("cut.svg", "<svg><g>"),
		"BRAND_LOGO=" + file("large.svg", "<svg>"+strings.Repeat(" ", 256<<10)+"</svg>"), "BRAND_LOGO=/nowhere/at/all", "BRAND_LOGO=" + dir, "BRAND_LOGO=" + file("text", "no image"),
		"SUPPORT_URL=http://help.example.com", "SUPPORT_URL=help.example.com", "SUPPORT_URL=javascript:alert(1)", "SUPPORT_URL=mailto:help@example.com",
	} {
		name, _, _ := strings.Cut(setting, "=")
		mustFail(t, grantd(t, []string{"GRANTD_" + setting}, "config"), exitUsage, "grantd: GRANTD_"+name+": ")
	}
}
