package providers

// traitSettings are what an admin may know of a server that its type cannot.
var traitSettings = []setting{
	{name: "refreshKillsAccess", check: isBool},
	{name: "revokesSingly", check: isBool},
}

// Traits returns c's type as it is for this client: where config has a say in how
// the upstream behaves, that is heeded. False means that there is no such type.
func (r *Registry) Traits(c Client) (Type, bool) {
	t, ok := r.types[c.Type]
	if !ok {
		return Type{}, false
	}
	traits := *t
	if t.configurable {
		decide(&traits.RefreshKillsAccess, c.Config["refreshKillsAccess"])
		decide(&traits.RevokesSingly, c.Config["revokesSingly"])
	}
	return traits, true
}

func decide(trait *bool, said any) {
	if v, ok := said.(bool); ok {
		*trait = v
	}
}
