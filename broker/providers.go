package broker

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// ProviderQuery filters and pages a list of providers. A nil list does not
// filter; what matches nothing gives an empty page.
type ProviderQuery struct {
	IDs, Types, Hosts []string
	OrderBy           string // "", createdAt or -createdAt
	Limit             int    // 0 means 1000
	Cursor            string
}

// Providers returns a page of the organisation's providers.
func (s *Service) Providers(ctx context.Context, c models.Caller, q ProviderQuery) (Page[models.Provider], error) {
	limit, after, err := paging(q.Limit, 1000, q.Cursor)
	if err == nil && q.OrderBy != "" && q.OrderBy != "createdAt" && q.OrderBy != "-createdAt" {
		err = models.Invalid(models.FieldError{Name: "orderBy", Message: "must be createdAt or -createdAt"})
	}
	if err != nil {
		return Page[models.Provider]{}, err
	}
	rows, err := s.store.Providers(ctx, c.OrgID, store.ProviderFilter{
		Within: c.Limits(), IDs: q.IDs, Types: q.Types, Hosts: q.Hosts, PublicTypes: s.typesAt(q.Hosts),
		Descending: q.OrderBy == "-createdAt", After: after, Limit: limit + 1,
	})
	return cut(rows, limit, after,
		func(p models.Provider) store.Position { return store.Position{CreatedAt: p.CreatedAt, ID: p.ID} },
		func(p models.Provider) models.Provider { return s.shown(c, p) }), err
}

// typesAt returns the types whose public host is among the hosts.
func (s *Service) typesAt(hosts []string) []string {
	var names []string
	for _, name := range s.upstream.Names() {
		if t, _ := s.upstream.Type(name); t.DefaultHost != "" && slices.Contains(hosts, t.DefaultHost) {
			names = append(names, name)
		}
	}
	return names
}

// Provider returns a provider of the caller's organisation.
func (s *Service) Provider(ctx context.Context, c models.Caller, id string) (models.Provider, error) {
	p, err := s.visibleProvider(ctx, c, id)
	if err != nil {
		return p, err
	}
	return s.withFormerSecret(ctx, c, s.shown(c, p))
}

// shown is a provider as the caller sees it: admins learn where the admins of
// people's organisations consent for all of them.
func (s *Service) shown(c models.Caller, p models.Provider) models.Provider {
	if c.IsAdmin() {
		p.Metadata.AdminConsentURL = s.at(p).AdminConsentURL(s.ConnectURL(p.ID))
	}
	return p
}

// CreateProvider registers an OAuth client. It asks nothing of the upstream.
func (s *Service) CreateProvider(ctx context.Context, c models.Caller, in models.ProviderInput) (models.Provider, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return models.Provider{}, err
	}
	return s.createProvider(ctx, c, newID(), in)
}

func (s *Service) createProvider(ctx context.Context, c models.Caller, id string, in models.ProviderInput) (models.Provider, error) {
	p := models.Provider{
		ID: id, OrgID: c.OrgID, Name: in.Name, Slug: in.Slug, Type: in.Type, Status: models.ProviderActive,
		ClientID: in.ClientID, SecureConfigID: newID(), SkipConsent: in.SkipConsent,
		Metadata: models.ProviderMetadata{Host: in.Metadata.Host}, Scopes: in.Scopes, RedirectURIs: in.RedirectURIs,
		Config: in.Config, Description: in.Description, ManagedBy: in.ManagedBy, SecretVersion: 1,
	}
	if p.Slug == "" {
		p.Slug = slugFor(p.Name, p.Type)
	}
	if wrong := append(s.judge(p), s.judgeSecret(p, in.ClientSecret)...); len(wrong) > 0 {
		return models.Provider{}, models.Invalid(wrong...)
	}
	s.describe(&p)
	secret, err := s.sealSecret(p, in.ClientSecret)
	if err != nil {
		return models.Provider{}, err
	}
	err = s.insertProvider(ctx, c, &p, secret, in.Slug == "")
	return s.shown(c, p), err
}

// insertProvider keeps the provider; where its slug was our idea and is taken,
// the end of its id makes it unique.
func (s *Service) insertProvider(ctx context.Context, c models.Caller, p *models.Provider, secret *models.SecureConfig, ourSlug bool) error {
	insert := func() error {
		return s.store.Tx(ctx, func(tx *store.Store) error {
			now, err := tx.Now(ctx)
			if err != nil {
				return err
			}
			p.CreatedAt, p.UpdatedAt = now, now
			if err := tx.InsertProvider(ctx, p, secret); err != nil {
				return err
			}
			return tx.Audit(ctx, event(c, models.ActionProviderCreated).provider(p.ID).done())
		})
	}
	err := insert()
	if errors.Is(err, store.ErrDuplicate) && ourSlug {
		p.Slug = strings.TrimRight(fmt.Sprintf("%.54s", p.Slug), "-") + "-" + p.ID[len(p.ID)-8:]
		err = insert()
	}
	return err
}

// describe sets what follows from the client and its host.
func (s *Service) describe(p *models.Provider) {
	at := s.at(*p)
	p.Fingerprint, p.FingerprintV2 = at.fingerprintV1(), at.fingerprint()
	p.Metadata.SettingsURL = at.SettingsURL()
}

func (s *Service) sealSecret(p models.Provider, secret models.Secret) (*models.SecureConfig, error) {
	sealed, err := s.sealJSON(s.secretOwner(p.SecureConfigID, p), secret.Reveal())
	return &models.SecureConfig{ID: p.SecureConfigID, ProviderID: p.ID, Sealed: sealed, Binding: 2}, err
}

// ChangeProvider changes a provider and returns it whole. While its deletion is
// asked for only the secret may change (D5); while anything was minted for it, it
// stays the client it is (A4).
func (s *Service) ChangeProvider(ctx context.Context, c models.Caller, id string, ch models.ProviderPatch) (models.Provider, error) {
	before, err := s.visibleProvider(ctx, c, id)
	if err != nil {
		return models.Provider{}, err
	}
	if err := onlyAdmins(c); err != nil {
		return models.Provider{}, err
	}
	if wrong := append(judgePatch(ch), judgeFormer(ch)...); len(wrong) > 0 {
		return models.Provider{}, models.Invalid(wrong...)
	}
	if ch.Config != nil || ch.Metadata != nil || ch.ClientSecret != nil {
		if err := s.endTrials(ctx, before); err != nil {
			return models.Provider{}, err
		}
	}
	var p models.Provider
	err = s.store.Tx(ctx, func(tx *store.Store) error {
		var err error
		if p, err = tx.LockProvider(ctx, id); err != nil {
			return err
		}
		return s.applyChange(ctx, tx, c, &p, ch)
	})
	if err != nil {
		return p, err
	}
	return s.withFormerSecret(ctx, c, s.shown(c, p))
}

func (s *Service) applyChange(ctx context.Context, tx *store.Store, c models.Caller, p *models.Provider, ch models.ProviderPatch) error {
	keepSame := ch.KeepSameSecret != nil && *ch.KeepSameSecret
	ch.KeepSameSecret = nil
	if ch == (models.ProviderPatch{}) {
		return nil
	}
	if p.DeletionAsked() && !onlySecret(ch) {
		return models.Errorf(models.CodeConflict, "The provider is being deleted, which cannot be undone; only clientSecret may change. DELETE resumes it.")
	}
	before := *p
	patch(p, ch)
	wrong := s.judge(*p)
	if ch.ClientSecret != nil {
		wrong = append(wrong, s.judgeSecret(*p, *ch.ClientSecret)...)
	}
	if len(wrong) > 0 {
		return models.Invalid(wrong...)
	}
	s.describe(p)
	if s.samePlace(before, *p) { // where tokens were minted under what it was called then
		p.Fingerprint = before.Fingerprint
	}
	if keepSame && ch.ClientSecret != nil && p.Fingerprint == before.Fingerprint {
		same, err := s.isSecret(ctx, tx, before, *ch.ClientSecret)
		if err != nil {
			return err
		}
		if same {
			ch.ClientSecret, ch.FormerSecretExpiresIn = nil, nil
		}
		if ch == (models.ProviderPatch{}) {
			return nil
		}
	}
	asked := ch
	if ch.ClientSecret == nil && (ch.Config != nil || ch.Metadata != nil) {
		if err := s.keepSecret(ctx, tx, before, *p, &ch); err != nil {
			return err
		}
	}
	if p.Fingerprint != before.Fingerprint {
		if err := s.mayMove(ctx, tx, *p, ch); err != nil {
			return err
		}
	}
	if err := s.settleFormer(ctx, tx, before, p, asked); err != nil {
		return err
	}
	if ch.ClientSecret != nil {
		p.SecretVersion++
		secret, err := s.sealSecret(*p, *ch.ClientSecret)
		if err != nil {
			return err
		}
		if err := tx.SaveSecret(ctx, secret); err != nil {
			return err
		}
		p.EndTrouble()
	}
	if err := tx.SaveProvider(ctx, p); err != nil {
		return err
	}
	if err := tellChange(ctx, tx, before, *p); err != nil {
		return err
	}
	return tx.Audit(ctx, event(c, models.ActionProviderChanged).provider(p.ID).done())
}

// isSecret reports whether a provider has this client secret. One that cannot be opened is another.
func (s *Service) isSecret(ctx context.Context, tx *store.Store, p models.Provider, secret models.Secret) (bool, error) {
	kept, err := s.clientSecret(ctx, tx, p)
	if undecryptable(err) {
		return false, nil
	}
	return err == nil && subtle.ConstantTimeCompare([]byte(kept.Reveal()), []byte(secret.Reveal())) == 1, err
}

// keepSecret settles what a change without a clientSecret means for the one that is
// kept. A public client has none, which moves with it; a client that becomes a
// confidential one needs one.
func (s *Service) keepSecret(ctx context.Context, tx *store.Store, before, after models.Provider, ch *models.ProviderPatch) error {
	kept, err := s.clientSecret(ctx, tx, before)
	respelt := after.Fingerprint == before.Fingerprint && s.at(after).fingerprintV1() != before.Fingerprint
	switch {
	case err == nil && kept != "" && respelt:
		ch.ClientSecret = &kept // what is bound to the origins as they were written must be bound again
		return nil
	case undecryptable(err), err == nil && kept != "":
		return nil
	case err != nil:
		return err
	}
	if wrong := s.judgeSecret(after, kept); len(wrong) > 0 {
		return models.Invalid(wrong...)
	}
	if after.Fingerprint != before.Fingerprint {
		ch.ClientSecret = &kept
	}
	return nil
}

// mayMove refuses to turn a provider into a client elsewhere while tokens were
// minted for it, or without the new place's secret (A4).
func (s *Service) mayMove(ctx context.Context, tx *store.Store, p models.Provider, ch models.ProviderPatch) error {
	used, err := tx.ProviderInUse(ctx, p.ID)
	switch {
	case err != nil:
		return err
	case used:
		return models.Errorf(models.CodeConflict, "The provider has authorizations or open consents for its current host and endpoints; create a new provider instead.")
	case ch.ClientSecret == nil:
		return models.Invalid(models.FieldError{Name: "clientSecret", Message: "must be given again when the host or an endpoint changes, so that it is never sent to an address that it was not meant for"})
	}
	return nil
}

func onlySecret(ch models.ProviderPatch) bool {
	ch.ClientSecret, ch.FormerSecretExpiresIn = nil, nil
	return ch == (models.ProviderPatch{})
}

func patch(p *models.Provider, ch models.ProviderPatch) {
	set(&p.Name, ch.Name)
	set(&p.SkipConsent, ch.SkipConsent)
	set(&p.Status, ch.Status)
	set(&p.Slug, ch.Slug)
	if ch.Metadata != nil { // replaces as a whole: {} is no host
		p.Metadata.Host = ch.Metadata.Host
	}
	set((*[]string)(&p.Scopes), ch.Scopes)
	set((*[]string)(&p.RedirectURIs), ch.RedirectURIs)
	set((*map[string]any)(&p.Config), ch.Config)
	set(&p.Description, ch.Description)
}

func set[T any](dst *T, src *T) {
	if src != nil {
		*dst = *src
	}
}

// judgePatch says what may never be changed.
func judgePatch(ch models.ProviderPatch) []models.FieldError {
	var wrong []models.FieldError
	for name, given := range map[string]*string{"type": ch.Type, "clientId": ch.ClientID} {
		if given != nil {
			wrong = append(wrong, models.FieldError{Name: name, Message: "cannot be changed; create a new provider instead"})
		}
	}
	settable := []models.ProviderStatus{models.ProviderActive, models.ProviderInactive, models.ProviderDisabled}
	if ch.Status != nil && !slices.Contains(settable, *ch.Status) {
		wrong = append(wrong, models.FieldError{Name: "status", Message: "must be active, inactive or disabled; to delete the provider use DELETE"})
	}
	return wrong
}

var slugShape = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

var unbroken = strings.NewReplacer("\r\n", " ", "\n", " ")

// judge says what is wrong with a provider as a whole.
func (s *Service) judge(p models.Provider) []models.FieldError {
	var wrong []models.FieldError
	bad := func(name, format string, args ...any) {
		wrong = append(wrong, models.FieldError{Name: name, Message: fmt.Sprintf(format, args...)})
	}
	if n := utf8.RuneCountInString(p.Name); n < 1 || n > 255 || !printable(p.Name) {
		bad("name", "must be 1 to 255 printable characters")
	}
	if utf8.RuneCountInString(p.Description) > 1000 || !printable(unbroken.Replace(p.Description)) {
		bad("description", "must be at most 1000 printable characters, with \\n or \\r\\n between lines")
	}
	if !slugShape.MatchString(p.Slug) {
		bad("slug", "must be 1 to 63 lower-case letters, digits and hyphens")
	}
	if p.ManagedBy != "" && !slugShape.MatchString(p.ManagedBy) {
		bad("managedBy", "must be 1 to 63 lower-case letters, digits and hyphens")
	}
	if len(p.RedirectURIs) > 50 {
		bad("redirectUris", "must be at most 50")
	}
	for i, u := range p.RedirectURIs {
		if _, problem := parseRedirect(u); problem != "" {
			bad(fmt.Sprintf("redirectUris[%d]", i), "%s", problem)
		}
	}
	if _, ok := s.upstream.Type(p.Type); !ok {
		bad("type", "must be one of %s", strings.Join(s.upstream.Names(), ", "))
		return wrong
	}
	return append(wrong, s.at(p).Validate()...)
}

// judgeSecret says what is wrong with a client secret. A public client has none.
func (s *Service) judgeSecret(p models.Provider, secret models.Secret) []models.FieldError {
	problem := ""
	switch {
	case secret == "" && s.at(p).MayBePublic():
	case secret == "":
		problem = "is required; only a client that config.authStyle says is public (none) has no secret"
	default:
		problem = providers.CheckSecret(secret)
	}
	if problem != "" {
		return []models.FieldError{{Name: "clientSecret", Message: problem}}
	}
	return nil
}

// printable admits what people write names with: every graphic character, and the
// joiner inside emoji and Indic words.
func printable(s string) bool {
	const joiner = '\u200d'
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) && r != joiner })
}

// slugFor makes a slug of a name, or of the type where the name has no letters
// that a slug may hold.
func slugFor(name, typ string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if n := b.Len(); n > 0 && b.String()[n-1] != '-' {
			b.WriteByte('-')
		}
	}
	slug := strings.Trim(fmt.Sprintf("%.63s", b.String()), "-")
	if slug == "" {
		return typ
	}
	return slug
}
