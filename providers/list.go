package providers

// TypeNames returns the names of all types there can be, in the order of the list; the
// type "test" exists only where a test authorization server is configured.
func TypeNames() []string {
	var names []string
	for _, t := range list("http://test.invalid") {
		names = append(names, t.Name)
	}
	return names
}

// list returns every provider type. A new type is a file of its own and a line
// here.
func list(testHost string) []*Type {
	types := []*Type{
		bitbucketType(),
		boxType(),
		githubType(),
		gitlabType(),
		googleType(),
		microsoftType(),
		oauth2Type(),
		oidcType(),
	}
	if testHost != "" {
		types = append(types, testType(testHost))
	}
	return types
}
