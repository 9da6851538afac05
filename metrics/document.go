package metrics

import (
	"fmt"
	"strings"
)

// Document returns docs/metrics.md.
func Document() string {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Written from metrics/definitions.go by a test: GRANTD_WRITE=1 go test ./metrics -->

What ` + "`/metrics`" + ` on ` + "`GRANTD_METRICS_LISTEN`" + ` tells, in Prometheus' format. Labels have closed lists of values: no label is an id, a host, an organisation or a user. All counters with such labels are there from the start, at 0. What each alert means is in [operations.md](operations.md#alerts).

Metrics of the kind *snapshot* come from the database and Redis, which are asked when somebody scrapes, at most every ten seconds. Every worker tells the same: take ` + "`max`" + `, not ` + "`sum`" + `. Where the database or Redis does not answer they are missing, and ` + "`" + snapshotErrors + "`" + ` rises.

`)
	for _, d := range definitions {
		kind := string(d.kind)
		if d.snapshot {
			kind += ", snapshot"
		}
		told := "Every process."
		if d.told == "worker" {
			told = "Workers, and `grantd serve`."
		}
		fmt.Fprintf(&b, "## %s\n\n%s (%s) %s\n\n", d.name, d.help, kind, told)
		if len(d.labels) > 0 {
			b.WriteString("| label | values |\n|---|---|\n")
			for _, l := range d.labels {
				values := l.open
				if values == "" {
					values = "`" + strings.Join(l.values, "`, `") + "`"
				}
				fmt.Fprintf(&b, "| `%s` | %s |\n", l.name, values)
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("## Others\n\n`go_*` and `process_*` are of the Go runtime and the operating system.\n")
	return b.String()
}

// Names returns the names of all metrics.
func Names() []string {
	names := make([]string, len(definitions))
	for i, d := range definitions {
		names[i] = d.name
	}
	return names
}
