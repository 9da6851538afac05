package metrics

// Closed returns the closed label values of each metric by label; nil for open ones.
func Closed() map[string]map[string][]string {
	all := map[string]map[string][]string{}
	for _, d := range definitions {
		all[d.name] = map[string][]string{}
		for _, l := range d.labels {
			all[d.name][l.name] = l.values
		}
	}
	return all
}

// SweepParts are the values of the label part.
var SweepParts = sweepParts
