package console

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// field is one field of a form. Its name is what the API calls it.
type field struct {
	Name, Label, Help, Example string
	Control                    control
	Choices                    []choice
	Required                   bool
	Value, Problem             string
}

type choice struct{ Value, Label string }

// control is what a field is entered with.
type control string

const (
	controlText   control = "text"
	controlLines  control = "lines"
	controlSecret control = "secret"
	controlChoice control = "choice"
	controlFixed  control = "fixed" // shown, and not to be changed
)

const configPrefix = "config."

// fieldsOf are the fields of a provider's form. isNew is for one that is to be registered.
func fieldsOf(t broker.ProviderType, isNew bool) (main, more []field) {
	main = []field{
		{Name: "name", Label: "Name", Help: "What people see. It need not be unique.", Required: true},
		{Name: "clientId", Label: "Client id", Help: "As the provider gave it out.", Required: isNew},
		{Name: "clientSecret", Label: "Client secret", Help: "It is kept sealed and never shown.", Control: controlSecret, Required: isNew && !t.Public},
	}
	if !isNew {
		main[1].Control, main[1].Help = controlFixed, "It cannot be changed: register another provider instead."
		main[2].Label, main[2].Help = "New client secret", "Leave it empty to keep the one that there is. It has to be given again when the host or an endpoint changes."
	} else if t.Public {
		main[2].Help += " A public client has none."
	}
	if t.SelfManaged {
		main = append(main, field{Name: "metadata.host", Label: "Host", Help: "Of a self-managed instance: host, or host:port. Empty for the public one.", Example: "git.example.com"})
	}
	for _, s := range t.Settings {
		f := field{Name: configPrefix + s.Name, Label: s.Label, Help: s.Help, Example: s.Example, Required: s.Required, Control: controlText}
		switch s.Entry {
		case broker.EntryYesNo:
			f.Control, f.Choices = controlChoice, []choice{{"", "As the type does"}, {"true", "Yes"}, {"false", "No"}}
		case broker.EntryChoice:
			f.Control, f.Choices = controlChoice, []choice{{"", "Not set"}}
			for _, c := range s.Choices {
				f.Choices = append(f.Choices, choice{c, c})
			}
		case broker.EntryList:
			f.Control, f.Help = controlLines, f.Help+" One a line."
		case broker.EntryPairs:
			f.Control, f.Help = controlLines, f.Help+" One name=value a line."
		}
		if s.Required {
			main = append(main, f)
		} else {
			more = append(more, f)
		}
	}
	scopes := "Without any: the type's own."
	if len(t.DefaultScopes) > 0 {
		scopes = "Without any: " + strings.Join(t.DefaultScopes, " ") + "."
	}
	main = append(main, field{Name: "scopes", Label: "Scopes", Help: "What people are asked to allow, separated by spaces. " + scopes})
	common := []field{
		{Name: "description", Label: "Description", Help: "What to tell people before they consent. Plain text.", Control: controlLines},
		{Name: "slug", Label: "Name in addresses", Help: "Lower-case letters, digits and hyphens. Empty: made of the name."},
		{Name: "redirectUris", Label: "Addresses that consents may return to", Help: "One a line. Without any, those that the operator allows.", Control: controlLines},
		{Name: "skipConsent", Label: "Consent page of the provider", Control: controlChoice, Choices: []choice{{"", "Always show it"}, {"true", "Leave it out where there is a consent already"}}},
	}
	if !isNew {
		common[1].Help = "Lower-case letters, digits and hyphens. Addresses with the old one stop working."
	}
	return main, append(common, more...)
}

// values are what a form's fields hold, by name. Secrets are not among them: they are not shown again.
type values map[string]string

func sent(form url.Values, fields ...[]field) values {
	v := values{}
	for _, f := range slices.Concat(fields...) {
		if f.Control != controlSecret {
			v[f.Name] = strings.ReplaceAll(form.Get(f.Name), "\r\n", "\n")
		}
	}
	return v
}

// valuesOf are those of a provider as it is.
func valuesOf(t broker.ProviderType, p models.Provider) values {
	v := values{
		"name": p.Name, "clientId": p.ClientID, "metadata.host": p.Metadata.Host, "scopes": strings.Join(p.Scopes, " "),
		"description": strings.ReplaceAll(p.Description, "\r\n", "\n"), "slug": p.Slug, "redirectUris": strings.Join(p.RedirectURIs, "\n"), "skipConsent": "",
	}
	if p.SkipConsent {
		v["skipConsent"] = "true"
	}
	for _, s := range t.Settings {
		v[configPrefix+s.Name] = written(p.Config[s.Name])
	}
	return v
}

// written is a value of config as its field shows it.
func written(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case []any:
		var lines []string
		for _, one := range v {
			lines = append(lines, written(one))
		}
		return strings.Join(lines, "\n")
	case map[string]any:
		var lines []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			lines = append(lines, name+"="+written(v[name]))
		}
		return strings.Join(lines, "\n")
	}
	return setting(value)
}

// read is the value of config that somebody wrote into a field. What does not fit goes on as text, so that the API's words
// say what would be right.
func read(s broker.ProviderSetting, text string) any {
	switch s.Entry {
	case broker.EntryYesNo:
		if yes, err := strconv.ParseBool(text); err == nil {
			return yes
		}
	case broker.EntryNumber:
		if n, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil {
			return n
		}
	case broker.EntryList:
		all := []any{}
		for _, line := range lines(text) {
			all = append(all, line)
		}
		return all
	case broker.EntryPairs:
		all := map[string]any{}
		for _, line := range lines(text) {
			name, value, _ := strings.Cut(line, "=")
			all[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
		return all
	}
	return strings.TrimSpace(text)
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// config is what the fields of the settings say; was is the config of a provider that is changed. A value that nobody
// changed stays as it is, whatever form it has.
func (v values) config(t broker.ProviderType, was models.Settings) map[string]any {
	all := map[string]any{}
	for _, s := range t.Settings {
		text := v[configPrefix+s.Name]
		if before, given := was[s.Name]; given && written(before) == text {
			all[s.Name] = before
		} else if strings.TrimSpace(text) != "" {
			all[s.Name] = read(s, text)
		}
	}
	return all
}

func (v values) input(t broker.ProviderType, secret models.Secret) models.ProviderInput {
	return models.ProviderInput{
		Name: v["name"], Type: t.Name, ClientID: strings.TrimSpace(v["clientId"]), ClientSecret: secret, SkipConsent: v["skipConsent"] == "true",
		Metadata: models.ProviderMetadataInput{Host: strings.TrimSpace(v["metadata.host"])}, Scopes: nonEmpty(strings.Fields(v["scopes"])), RedirectURIs: lines(v["redirectUris"]),
		Slug: strings.TrimSpace(v["slug"]), Config: v.config(t, nil), Description: strings.TrimSpace(v["description"]),
	}
}

// nonEmpty is nil for an empty list: then the type's own scopes are asked for.
func nonEmpty(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// patch is what changes of a provider that had the values was.
func (v values) patch(t broker.ProviderType, p models.Provider, secret models.Secret) models.ProviderPatch {
	in, was := v.input(t, secret), valuesOf(t, p)
	var ch models.ProviderPatch
	for name, change := range map[string]func(){
		"name": func() { ch.Name = &in.Name }, "metadata.host": func() { ch.Metadata = &in.Metadata }, "scopes": func() { ch.Scopes = &in.Scopes },
		"description": func() { ch.Description = &in.Description }, "slug": func() { ch.Slug = &in.Slug }, "redirectUris": func() { ch.RedirectURIs = &in.RedirectURIs },
		"skipConsent": func() { ch.SkipConsent = &in.SkipConsent },
	} {
		if v[name] != was[name] {
			change()
		}
	}
	for _, s := range t.Settings {
		if name := configPrefix + s.Name; v[name] != was[name] {
			config := v.config(t, p.Config)
			ch.Config = &config
		}
	}
	if secret != "" {
		ch.ClientSecret = &secret
	}
	return ch
}

// problems are what the API says is wrong, by field. The rest is about the form as a whole.
func problems(err error, fields ...[]field) (byField map[string]string, whole string) {
	e, ok := errors.AsType[*models.Error](err)
	if !ok {
		return nil, ""
	}
	byField = map[string]string{}
	for _, wrong := range e.Fields {
		name, _, _ := strings.Cut(wrong.Name, "[")
		message := wrong.Message
		if name != wrong.Name {
			message = strings.TrimPrefix(wrong.Name, name) + " " + message
		}
		if !slices.ContainsFunc(slices.Concat(fields...), func(f field) bool { return f.Name == name }) {
			whole = strings.TrimSpace(whole + " " + wrong.Name + " " + message + ".")
			continue
		}
		byField[name] = strings.TrimPrefix(byField[name]+"; "+message, "; ")
	}
	if len(e.Fields) == 0 {
		whole = e.Message
	}
	return byField, whole
}

// filled are the fields with what they hold and what is wrong with it.
func filled(fields []field, v values, wrong map[string]string) []field {
	all := slices.Clone(fields)
	for i, f := range all {
		all[i].Value, all[i].Problem = v[f.Name], wrong[f.Name]
		if f.Control == "" {
			all[i].Control = controlText
		}
	}
	return all
}
