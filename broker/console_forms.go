package broker

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/google/uuid"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// The console's forms about providers are made of what each type says of itself.

// ProviderSetting is a key of config as a form shows it.
type ProviderSetting = providers.Setting

// How a setting is entered, where that is not as text.
const (
	EntryYesNo  = providers.EntryYesNo
	EntryNumber = providers.EntryNumber
	EntryChoice = providers.EntryChoice
	EntryList   = providers.EntryList
	EntryPairs  = providers.EntryPairs
)

// ProviderType is a type as a form shows it.
type ProviderType struct {
	Name, DisplayName string
	DefaultHost       string // "" for a type that is always configured
	SelfManaged       bool   // another host may be named
	Public            bool   // there may be no client secret
	DefaultScopes     []string
	RegisterURL       string // where clients are registered at the default host, "" where that is not known
	Settings          []ProviderSetting
}

// ProviderTypes are all types, for people who register a provider.
func (s *Service) ProviderTypes() []ProviderType {
	var all []ProviderType
	for _, name := range s.upstream.Names() {
		t, _ := s.ProviderType(name)
		all = append(all, t)
	}
	return all
}

// ProviderType is one of them. False means that there is no such type.
func (s *Service) ProviderType(name string) (ProviderType, bool) {
	t, ok := s.upstream.Type(name)
	if !ok {
		return ProviderType{}, false
	}
	return ProviderType{Name: t.Name, DisplayName: t.DisplayName, DefaultHost: t.DefaultHost, SelfManaged: t.SelfManaged, Public: t.TakesPublicClients(),
		DefaultScopes: t.DefaultScopes, RegisterURL: s.upstream.RegisterPage(name), Settings: s.upstream.Settings(name)}, true
}

// NewForm names a form that makes something: however often it is sent, it does so once.
func NewForm() string { return newID() }

// CreateProviderOnce is CreateProvider for a form. Sent again, the form brings the provider that it made before.
func (s *Service) CreateProviderOnce(ctx context.Context, c models.Caller, form string, in models.ProviderInput) (models.Provider, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return models.Provider{}, err
	}
	id, err := madeBy(c, form)
	if err != nil {
		return models.Provider{}, err
	}
	if p, err := s.made(ctx, c, id); models.CodeOf(err) != models.CodeNotFound {
		return p, err
	}
	p, err := s.createProvider(ctx, c, id, in)
	if errors.Is(err, store.ErrDuplicate) { // perhaps the same form, sent twice at once
		if before, again := s.made(ctx, c, id); again == nil {
			return before, nil
		}
	}
	return p, err
}

// made returns the provider that a form made before, and an error where it has been deleted since.
func (s *Service) made(ctx context.Context, c models.Caller, id string) (models.Provider, error) {
	p, err := s.Provider(ctx, c, id)
	if models.CodeOf(err) != models.CodeNotFound {
		return p, err
	}
	gone, jobsErr := s.store.Jobs(ctx, c.OrgID, store.JobFilter{ProviderID: id, Limit: 1})
	switch {
	case jobsErr != nil:
		return p, jobsErr
	case len(gone) > 0:
		return p, models.Errorf(models.CodeConflict, "This form was sent before, and the provider that it registered has been deleted. Begin a new form.")
	}
	return p, err
}

// madeBy is the id of what a form of the caller's makes. It has the time of the form's name, so that it sorts as others
// do; the rest is a digest, so that no caller can choose an id that another has.
func madeBy(c models.Caller, form string) (string, error) {
	id, err := uuid.Parse(form)
	if err != nil || id.Version() != 7 || id.String() != form {
		return "", models.Errorf(models.CodeBadRequest, "The form could not be read. Begin a new one.")
	}
	digest := sha256.Sum256([]byte(c.OrgID + "\x00" + c.UserID + "\x00" + form))
	const ofTime = 6 // bytes
	copy(id[ofTime:], digest[:])
	id[6] = id[6]&0x0f | 0x70 // version 7
	id[8] = id[8]&0x3f | 0x80 // of RFC 9562
	return id.String(), nil
}
