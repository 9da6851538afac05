package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

type providersApplyCommand struct {
	File           string `short:"f" required:"" placeholder:"FILE" help:"A YAML file of providers; - for standard input."`
	DryRun         bool   `help:"Show what would change, and change nothing."`
	KeepFormer     int64  `placeholder:"SECONDS" help:"For how long a client secret that is replaced is tried where the new one is refused."`
	Prune          bool   `help:"Also delete the providers that a file of this name made before and that are not in it any more."`
	Yes            bool   `help:"Prune without asking; needs --max-connections."`
	MaxConnections int    `default:"-1" placeholder:"N" help:"Prune nothing if more than this many connections would be lost."`
}

// Help is the longer text of `grantd providers apply --help`.
func (providersApplyCommand) Help() string {
	return "Makes the providers what the file says; applied again, it changes nothing. Providers are found by their slug. What the file leaves out is empty, " +
		"except for status, which stays. The client secret is named and not written: clientSecret: {env: NAME} or {file: PATH}. grantd compares it with the one that it keeps; a dry run does not read it.\n\n" +
		"\tgrantd providers apply -f providers.yaml --dry-run"
}

// providerFile is what a file of providers says.
type providerFile struct {
	Name      string            `yaml:"name"`
	Providers []*wantedProvider `yaml:"providers"`
}

// wantedProvider is a provider as a file wants it.
type wantedProvider struct {
	Slug         string    `yaml:"slug"`
	Name         string    `yaml:"name"`
	Type         string    `yaml:"type"`
	ClientID     string    `yaml:"clientId"`
	ClientSecret secretRef `yaml:"clientSecret"`
	Metadata     struct {
		Host string `yaml:"host"`
	} `yaml:"metadata"`
	Scopes       []string       `yaml:"scopes"`
	RedirectURIs []string       `yaml:"redirectUris"`
	SkipConsent  bool           `yaml:"skipConsent"`
	Description  string         `yaml:"description"`
	Config       map[string]any `yaml:"config"`
	Status       string         `yaml:"status"`
}

// secretRef says where a client secret is.
type secretRef struct{ Env, File string }

// UnmarshalYAML implements yaml.Unmarshaler. Its errors do not say what is written there, which may be the secret itself.
func (r *secretRef) UnmarshalYAML(n *yaml.Node) error {
	var named map[string]string
	if n.Kind != yaml.MappingNode || n.Decode(&named) != nil || len(named) != 1 || named["env"] == "" && named["file"] == "" {
		return fmt.Errorf("line %d: clientSecret must be {env: NAME} or {file: PATH}: the secret itself does not belong in the file", n.Line)
	}
	r.Env, r.File = named["env"], named["file"]
	return nil
}

// named reports whether the file names a secret.
func (r secretRef) named() bool { return r != secretRef{} }

// read returns the secret, "" where the file names none.
func (r secretRef) read(s *Session, slug string) (models.Secret, error) {
	what := "the clientSecret of " + slug
	switch {
	case r.Env != "":
		return secretOf(what+": $"+r.Env, s.Env(r.Env))
	case r.File != "":
		return secretIn(what, r.File)
	}
	return "", nil
}

var slugShape = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// quoted is a value of the file in an error of the YAML decoder.
var quoted = regexp.MustCompile("`[^`]*`")

const maxProviderFile = 4 << 20

func (a providersApplyCommand) readFile(s *Session) (providerFile, error) {
	from := s.In
	if a.File != "-" {
		f, err := os.Open(a.File)
		if err != nil {
			return providerFile{}, usage("--file: %w", err)
		}
		defer f.Close()
		from = f
	}
	raw, err := io.ReadAll(io.LimitReader(from, maxProviderFile))
	if err != nil {
		return providerFile{}, fmt.Errorf("reading %s: %w", a.File, err)
	}
	var file providerFile
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return file, usage("%s: %s", a.File, quoted.ReplaceAllString(err.Error(), "a value"))
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return file, usage("%s: one YAML document is expected", a.File)
	}
	return file, file.judge()
}

// judge says what is wrong with the file before anything is changed. The rest is grantd's to judge.
func (f providerFile) judge() error {
	var wrong []error
	if f.Name != "" && !slugShape.MatchString(f.Name) {
		wrong = append(wrong, errors.New("name: must be 1 to 63 lower-case letters, digits and hyphens"))
	}
	seen := map[string]bool{}
	for i, p := range f.Providers {
		if p == nil || !slugShape.MatchString(p.Slug) {
			wrong = append(wrong, fmt.Errorf("providers[%d].slug: must be 1 to 63 lower-case letters, digits and hyphens", i))
			continue
		}
		if seen[p.Slug] {
			wrong = append(wrong, fmt.Errorf("providers[%d].slug: %s is in the file twice", i, p.Slug))
		}
		seen[p.Slug] = true
		for name, value := range map[string]string{"name": p.Name, "type": p.Type, "clientId": p.ClientID} {
			if value == "" {
				wrong = append(wrong, fmt.Errorf("%s: %s is required", p.Slug, name))
			}
		}
	}
	if len(wrong) > 0 {
		return failure{ExitUsage, errors.Join(wrong...)}
	}
	return nil
}

// providerChange is what becomes of one provider.
type providerChange struct {
	Slug        string        `json:"slug"`
	Action      string        `json:"action"` // create, change, keep or delete
	Fields      []fieldChange `json:"fields"`
	Connections int           `json:"connections,omitempty"` // that a deletion would end; counted no further than the answer needs
	Job         string        `json:"job,omitempty"`         // of the deletion that has begun

	before models.Provider
	input  models.ProviderInput
	patch  models.ProviderPatch
}

// fieldChange is what becomes of a field.
type fieldChange struct {
	Name   string `json:"name"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// Run applies the file.
func (a providersApplyCommand) Run(ctx context.Context, s *Session) error {
	file, err := a.readFile(s)
	if err != nil {
		return err
	}
	if a.Prune && file.Name == "" {
		return usage("--prune needs a name: in the file: only what a file of that name made is deleted")
	}
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	plan, err := a.plan(ctx, s, c, file)
	if err != nil {
		return err
	}
	if a.DryRun {
		return s.showPlan(plan)
	}
	if err := a.mayPrune(s, plan); err != nil {
		return err
	}
	for i := range plan {
		if err := plan[i].apply(ctx, c); err != nil {
			return fmt.Errorf("%s: %w (what comes before it in the file is applied)", plan[i].Slug, err)
		}
	}
	return s.showPlan(plan)
}

// plan compares the file with what there is.
func (a providersApplyCommand) plan(ctx context.Context, s *Session, c *client.Client, file providerFile) ([]providerChange, error) {
	there := map[string]models.Provider{}
	for p, err := range c.Providers(ctx, client.ProviderQuery{OrderBy: "createdAt"}) {
		if err != nil {
			return nil, err
		}
		there[p.Slug] = p
	}
	plan := []providerChange{}
	var wrong []error
	for _, w := range file.Providers {
		before, found := there[w.Slug]
		var change providerChange
		var err error
		if found {
			change, err = a.compare(s, w, before, file.Name)
		} else {
			change, err = a.creation(s, w, file.Name)
		}
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		plan = append(plan, change)
	}
	if len(wrong) > 0 {
		return nil, failure{ExitUsage, errors.Join(wrong...)}
	}
	if !a.Prune {
		return plan, nil
	}
	if len(file.Providers) == 0 {
		s.say("The file lists no providers; nothing is pruned.")
		return plan, nil
	}
	deletions, err := a.pruned(ctx, c, there, file)
	return append(plan, deletions...), err
}

// creation is the change that makes a provider.
func (a providersApplyCommand) creation(s *Session, w *wantedProvider, file string) (providerChange, error) {
	var secret models.Secret
	if !a.DryRun {
		var err error
		if secret, err = w.ClientSecret.read(s, w.Slug); err != nil {
			return providerChange{}, err
		}
	}
	if w.Status != "" && w.Status != string(models.ProviderActive) {
		return providerChange{}, fmt.Errorf("%s: status: a new provider is active; apply the file with another status once it is there", w.Slug)
	}
	change := providerChange{Slug: w.Slug, Action: "create", input: models.ProviderInput{
		Name: w.Name, Type: w.Type, ClientID: w.ClientID, ClientSecret: secret, SkipConsent: w.SkipConsent, Metadata: models.ProviderMetadataInput{Host: w.Metadata.Host},
		Scopes: w.Scopes, RedirectURIs: w.RedirectURIs, Slug: w.Slug, Config: w.Config, Description: w.Description, ManagedBy: file,
	}}
	change.Fields = append(change.Fields, fieldChange{"type", nil, w.Type}, fieldChange{"clientId", nil, w.ClientID})
	if w.Metadata.Host != "" {
		change.Fields = append(change.Fields, fieldChange{"metadata.host", nil, w.Metadata.Host})
	}
	_, changes := w.differences(models.Provider{})
	change.Fields = append(change.Fields, changes...)
	return change, nil
}

// compare is the change that makes of a provider what the file says.
func (a providersApplyCommand) compare(s *Session, w *wantedProvider, before models.Provider, file string) (providerChange, error) {
	change := providerChange{Slug: w.Slug, Action: "keep", before: before, Fields: []fieldChange{}}
	fixed := func(name, is, wanted string) error {
		if is == wanted {
			return nil
		}
		return fmt.Errorf("%s: %s is %q and cannot become %q: give the new client a slug of its own, and delete the former one when nobody uses it", w.Slug, name, is, wanted)
	}
	err := errors.Join(fixed("type", before.Type, w.Type), fixed("clientId", before.ClientID, w.ClientID), fixed("metadata.host", before.Metadata.Host, w.Metadata.Host))
	switch {
	case err != nil:
		return change, err
	case before.Status == models.ProviderDeleted:
		return change, fmt.Errorf("%s: is being deleted; apply the file again when its job has ended", w.Slug)
	case before.ManagedBy != "" && before.ManagedBy != file:
		return change, fmt.Errorf("%s: belongs to the file with name: %s; two files must not change one provider", w.Slug, before.ManagedBy)
	}
	change.patch, change.Fields = w.differences(before)
	if w.ClientSecret.named() && !a.DryRun {
		secret, err := w.ClientSecret.read(s, w.Slug)
		if err != nil {
			return change, err
		}
		// grantd compares it with the one that it keeps.
		change.patch.ClientSecret, change.patch.KeepSameSecret = &secret, new(true)
		if a.KeepFormer > 0 {
			change.patch.FormerSecretExpiresIn = &a.KeepFormer
		}
	}
	if len(change.Fields) > 0 {
		change.Action = "change"
	}
	return change, nil
}

// differences are the fields that can change and differ, as a patch and for people.
func (w *wantedProvider) differences(before models.Provider) (models.ProviderPatch, []fieldChange) {
	var patch models.ProviderPatch
	changes := []fieldChange{}
	differs := func(name string, is, wanted any) bool {
		if same(is, wanted) {
			return false
		}
		changes = append(changes, fieldChange{name, is, wanted})
		return true
	}
	if differs("name", before.Name, w.Name) {
		patch.Name = &w.Name
	}
	if differs("skipConsent", before.SkipConsent, w.SkipConsent) {
		patch.SkipConsent = &w.SkipConsent
	}
	if scopes := append([]string{}, w.Scopes...); differs("scopes", append([]string{}, before.Scopes...), scopes) {
		patch.Scopes = &scopes
	}
	if uris := append([]string{}, w.RedirectURIs...); differs("redirectUris", append([]string{}, before.RedirectURIs...), uris) {
		patch.RedirectURIs = &uris
	}
	if differs("description", before.Description, w.Description) {
		patch.Description = &w.Description
	}
	if config := orEmpty(w.Config); differs("config", orEmpty(before.Config), config) {
		patch.Config = &config
	}
	if status := models.ProviderStatus(w.Status); before.ID != "" && w.Status != "" && differs("status", string(before.Status), w.Status) {
		patch.Status = &status
	}
	return patch, changes
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// same compares what two values are as JSON: numbers of YAML are of other types.
func same(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// maxShown is the number of connections of a provider that are counted for people to read.
const maxShown = 10_000

// countedTo is where the count of a provider's connections ends: what comes after changes neither what people read nor
// what --max-connections allows.
func (a providersApplyCommand) countedTo() int { return max(maxShown, a.MaxConnections) + 1 }

// pruned are the deletions of what a file of the same name made before, and does not list any more.
func (a providersApplyCommand) pruned(ctx context.Context, c *client.Client, there map[string]models.Provider, file providerFile) ([]providerChange, error) {
	var deletions []providerChange
	for _, p := range there {
		listed := slices.ContainsFunc(file.Providers, func(w *wantedProvider) bool { return w.Slug == p.Slug })
		if listed || p.ManagedBy != file.Name || p.Status == models.ProviderDeleted {
			continue
		}
		change := providerChange{Slug: p.Slug, Action: "delete", before: p, Fields: []fieldChange{}}
		for _, err := range c.Authorizations(ctx, client.AuthorizationQuery{ProviderID: p.ID}) {
			if err != nil {
				return nil, err
			}
			if change.Connections++; change.Connections == a.countedTo() {
				break
			}
		}
		deletions = append(deletions, change)
	}
	slices.SortFunc(deletions, func(a, b providerChange) int { return strings.Compare(a.Slug, b.Slug) })
	return deletions, nil
}

// mayPrune asks before anything is deleted, or holds the plan against what the command line allows.
func (a providersApplyCommand) mayPrune(s *Session, plan []providerChange) error {
	lost, providers := 0, []string{}
	for _, change := range plan {
		if change.Action == "delete" {
			lost += change.Connections
			providers = append(providers, fmt.Sprintf("%s (%s connections)", change.Slug, change.connections()))
		}
	}
	switch {
	case len(providers) == 0:
		return nil
	case a.MaxConnections >= 0 && lost > a.MaxConnections:
		return usage("pruning would end more connections than the %d that --max-connections allows: %s", a.MaxConnections, strings.Join(providers, ", "))
	case a.Yes && a.MaxConnections < 0:
		return usage("--yes needs --max-connections N: how many connections may be lost; these would be: %s", strings.Join(providers, ", "))
	case a.Yes:
		return nil
	}
	return s.confirm("Delete %s, and revoke what people connected there?", strings.Join(providers, ", "))
}

// connections says how many connections a deletion would end.
func (p providerChange) connections() string {
	if p.Connections > maxShown {
		return fmt.Sprintf("more than %d", p.Connections-1)
	}
	return fmt.Sprint(p.Connections)
}

// apply makes a change. Whether a client secret is another one, grantd alone knows: it tells by what it wrote.
func (p *providerChange) apply(ctx context.Context, c *client.Client) (err error) {
	switch p.Action {
	case "create":
		_, err = c.CreateProvider(ctx, p.input)
	case "delete":
		p.Job, err = c.DeleteProvider(ctx, p.before.ID)
	default:
		if p.patch == (models.ProviderPatch{}) {
			return nil
		}
		after, err := c.ChangeProvider(ctx, p.before.ID, p.patch)
		if err == nil && len(p.Fields) == 0 && !after.UpdatedAt.Equal(p.before.UpdatedAt) {
			p.Action, p.Fields = "change", []fieldChange{{"clientSecret", "[not shown]", "[not shown]"}}
		}
		return err
	}
	return err
}

// showPlan prints what changes, or has changed.
func (s *Session) showPlan(plan []providerChange) error {
	t := table{head: []string{"", "SLUG", "FIELD", "BEFORE", "AFTER"}}
	signs := map[string]string{"create": "+", "change": "~", "delete": "-", "keep": "="}
	for _, change := range plan {
		sign := signs[change.Action]
		switch {
		case change.Action == "delete":
			t.add(sign, change.Slug, "connections", change.connections(), "0")
		case len(change.Fields) == 0:
			t.add(sign, change.Slug)
		}
		for _, f := range change.Fields {
			t.add(sign, change.Slug, f.Name, inJSON(f.Before), inJSON(f.After))
		}
	}
	return s.show(plan, t)
}

// inJSON is a value in one line, "" for nothing.
func inJSON(value any) string {
	if value == nil {
		return ""
	}
	raw, err := indented(value)
	if err != nil {
		return ""
	}
	var line bytes.Buffer
	if json.Compact(&line, raw) != nil {
		return ""
	}
	return line.String()
}
