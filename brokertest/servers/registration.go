package servers

import "maps"

// body registers a client; without a secret it is a public one.
func body(typ, clientID, clientSecret string, scopes []string, config map[string]any) map[string]any {
	b := map[string]any{"name": "A real server", "type": typ, "clientId": clientID, "scopes": scopes, "config": config}
	if clientSecret != "" {
		b["clientSecret"] = clientSecret
	}
	return b
}

func with(config map[string]any, name string, value any) map[string]any {
	changed := maps.Clone(config)
	changed[name] = value
	return changed
}

func without(config map[string]any, name string) map[string]any {
	changed := maps.Clone(config)
	delete(changed, name)
	return changed
}
