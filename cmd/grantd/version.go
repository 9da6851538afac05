package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

type versionCommand struct{}

// Run prints version and toolchain.
func (versionCommand) Run(c console) error {
	_, err := fmt.Fprintf(c.out, "grantd %s %s %s/%s\n", currentVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// currentVersion is what the linker set, else what the build recorded: the
// module's version after `go install`, the commit after `go build`.
func currentVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return versionOf(info)
}

func versionOf(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	commit := settings["vcs.revision"]
	if commit == "" {
		return "devel"
	}
	v := "devel-" + commit[:min(12, len(commit))]
	if settings["vcs.modified"] == "true" {
		v += "-dirty"
	}
	return v
}
