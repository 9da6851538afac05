package providers

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
