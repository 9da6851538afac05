// Package metrics is what a process of grantd tells Prometheus. Every metric is a row of
// one table (definitions.go), from which docs/metrics.md is written. The other rooms call
// methods that take values of Go types: a label has a closed list of values, and a value
// that is not in it counts as "other". No label is an id, a host, an organisation or a
// user.
//
// What a process counts itself is kept in counters and histograms. What the database and
// Redis know is asked for when somebody scrapes (snapshot.go), so that it costs nothing
// where nobody does.
package metrics
