package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// The hot path: one query loads what decides about a token, and no more. It has
// connections of its own, is decoded by hand, and answers many callers at once:
// batches.go has how, fetch_postgres.go and fetch_sqlite.go have the databases.

// Fetchable returns as much of an authorization, its provider and its credential as
// handing out a token takes, as it was committed when Fetchable was called or later.
// Refresh and revocation need the rest: see Linked. What is returned is shared with
// other callers, so nobody may change its lists and maps.
func (s *Store) Fetchable(ctx context.Context, authorization string) (models.Linked, error) {
	if s.inTx {
		return s.Linked(ctx, authorization)
	}
	if s.between != nil && s.between.Asks != nil {
		s.between.Asks(ctx, authorization)
	}
	l, err := s.fetches.get(ctx, authorization)
	if s.between != nil && s.between.Answered != nil {
		s.between.Answered(ctx, authorization)
	}
	return l, err
}

// around calls Fetch around each run of the hot query.
func (b *Between) around(load loadFunc) loadFunc {
	return func(ctx context.Context, ids []string) (found map[string]*models.Linked, err error) {
		err = b.Fetch(ids, func() error {
			found, err = load(ctx, ids)
			return err
		})
		return found, err
	}
}

// FetchableOf is Fetchable for what a user has linked at a provider of an organisation, named by its id or slug: of several
// accounts the one that was consented to last.
func (s *Store) FetchableOf(ctx context.Context, org, user, provider string) (models.Linked, error) {
	return s.named.get(ctx, strings.Join([]string{org, user, provider}, nameSeparator))
}

// nameSeparator is in no name that can be stored.
const nameSeparator = "\x00"

// newestOf picks what a user has linked at a provider, with parameters for organisation, user and provider. A provider's id
// goes before another one's slug.
var newestOf = `SELECT n.id FROM authorizations n JOIN providers q ON q.id = n.provider_id
	WHERE n.org_id = %[1]s AND n.user_id = %[2]s AND ` + linked("n") + ` AND (q.id = %[3]s OR q.slug = %[3]s AND q.delete_job_id IS NULL)
	ORDER BY CASE WHEN q.id = %[3]s THEN 0 ELSE 1 END, n.updated_at DESC, n.id DESC LIMIT 1`

// FetchableAll returns as much of those of the authorizations that there are, in their
// order, by one query. There may be as many as one query takes, which is 128. On PostgreSQL it
// takes no connection of the hot query's: whoever asks for many at once is no caller who waits.
func (s *Store) FetchableAll(ctx context.Context, authorizations []string) ([]models.Linked, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	found, err := s.claims.run(ctx, authorizations)
	if err != nil {
		return nil, translate(err)
	}
	var rows []models.Linked
	for _, id := range authorizations {
		if l := found[id]; l != nil {
			rows = append(rows, *l)
		}
	}
	return rows, nil
}

// fetchColumn is a column that the hot query reads, and where its value goes.
type fetchColumn struct {
	name string
	to   any
}

// fetchColumns are all of them: a column that is added here is read on both databases.
func fetchColumns(l *models.Linked) []fetchColumn {
	a, p, c := &l.Authorization, &l.Provider, &l.Credential
	return []fetchColumn{
		{"a.id", &a.ID},
		{"a.org_id", &a.OrgID},
		{"a.user_id", &a.UserID},
		{"a.provider_id", &a.ProviderID},
		{"a.credential_id", &a.CredentialID},
		{"a.oauth_client_id", &a.OAuthClientID},
		{"a.scopes", &a.Scopes},
		{"a.missing_scopes", &a.MissingScopes},
		{"a.scopes_cut", &a.ScopesCut},
		{"a.fingerprint", &a.Fingerprint},
		{"a.fingerprint_v2", &a.FingerprintV2},
		{unlinkedAt("a"), &a.UnlinkedAt},
		{"a.created_at", &a.CreatedAt},

		{"p.id", &p.ID},
		{"p.org_id", &p.OrgID},
		{"p.name", &p.Name},
		{"p.slug", &p.Slug},
		{"p.type", &p.Type},
		{"p.status", &p.Status},
		{"p.client_id", &p.ClientID},
		{"p.secure_config_id", &p.SecureConfigID},
		{"p.skip_consent", &p.SkipConsent},
		{"p.host", &p.Metadata.Host},
		{"p.settings_url", &p.Metadata.SettingsURL},
		{"p.scopes", &p.Scopes},
		{"p.redirect_uris", &p.RedirectURIs},
		{"p.config", &p.Config},
		{"p.fingerprint", &p.Fingerprint},
		{"p.fingerprint_v2", &p.FingerprintV2},
		{"p.secret_version", &p.SecretVersion},
		{"p.trouble", &p.Trouble},
		{"p.trouble_code", &p.TroubleCode},
		{"p.trouble_version", &p.TroubleVersion},
		{"p.probe_at", &p.ProbeAt},
		{"p.created_at", &p.CreatedAt},
		{"p.updated_at", &p.UpdatedAt},

		{"c.id", &c.ID},
		{"c.sealed", &c.Sealed},
		{"c.generation", &c.Generation},
		{"c.has_refresh_token", &c.HasRefreshToken},
		{"c.expires_at", &c.ExpiresAt},
		{"c.refresh_after", &c.RefreshAfter},
		{"c.refresh_expires_at", &c.RefreshExpiresAt},
		{"c.keep_alive_at", &c.KeepAliveAt},
		{"c.saved_at", &c.SavedAt},
		{"c.lease_until", &c.LeaseUntil},
		{"c.attempt_id", &c.AttemptID},
		{"c.next_attempt_at", &c.NextAttemptAt},
		{"c.gate_version", &c.GateVersion},
		{"c.last_error", &c.LastError},
		{"c.verdict", &c.Verdict},
		{"c.verdict_reason", &c.VerdictReason},
		{"c.verdict_generation", &c.VerdictGeneration},
		{"c.verdict_secret_version", &c.VerdictSecretVersion},
		{"c.suspected", &c.Suspected},
	}
}

// FetchColumns names the columns, for what is compared with the hot query.
func FetchColumns() (names []string) {
	for _, c := range fetchColumns(new(models.Linked)) {
		names = append(names, c.name)
	}
	return names
}

// fetchQuery reads the columns, and further expressions, of the rows that the
// condition picks.
func fetchQuery(columns []fetchColumn, condition string) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return "SELECT " + strings.Join(names, ", ") + ` FROM authorizations a JOIN providers p ON p.id = a.provider_id
		JOIN credentials c ON c.authorization_id = a.id WHERE ` + condition
}

// fetchReader reads one row after the other into the same Linked, so that where the
// columns go is looked up once and not for each row.
type fetchReader struct {
	row       models.Linked
	columns   []fetchColumn
	provider  int // where the provider's columns begin
	after     int // and what comes after them
	providers map[string]readProvider
	text      []byte // of the columns that are being read
	ends      []int
}

// readProvider is a provider as it was read, and what its columns said. Many rows have the
// same one, and it takes less time to see that than to read it.
type readProvider struct {
	provider models.Provider
	said     []string
}

// mostReadProviders bounds what is kept of providers: about 1 kB of each. An organisation with
// more of them costs the others the time that is saved by it, and nothing else (T1).
const mostReadProviders = 200

func newFetchReader() *fetchReader {
	r := &fetchReader{providers: map[string]readProvider{}}
	r.columns = fetchColumns(&r.row)
	ofProvider := func(c fetchColumn) bool { return strings.HasPrefix(c.name, "p.") }
	r.provider = slices.IndexFunc(r.columns, ofProvider)
	r.after = r.provider + slices.IndexFunc(r.columns[r.provider:], func(c fetchColumn) bool { return !ofProvider(c) })
	return r
}

// read returns the row as a Linked of its own.
func (r *fetchReader) read(from values) (*models.Linked, error) {
	r.row = models.Linked{}
	err := r.scan(from, 0, r.provider)
	if err == nil {
		err = r.readProvider(from)
	}
	if err == nil {
		err = r.scan(from, r.after, len(r.columns))
	}
	if err != nil {
		return nil, err
	}
	l := r.row
	return &l, nil
}

// readProvider reads the columns of the provider, whose id comes first.
func (r *fetchReader) readProvider(from values) error {
	if known, ok := r.providers[string(from.raw(r.provider))]; ok && known.is(from, r.provider) {
		r.row.Provider = known.provider
		return nil
	}
	said := make([]string, r.after-r.provider)
	for i := range said {
		said[i] = string(from.raw(r.provider + i))
	}
	if err := r.scan(from, r.provider, r.after); err != nil {
		return err
	}
	if len(r.providers) == mostReadProviders {
		clear(r.providers)
	}
	r.providers[said[0]] = readProvider{r.row.Provider, said}
	return nil
}

// is reports whether the columns from first on say the same again. No column of a provider
// means something else by an empty text than by null.
func (p readProvider) is(from values, first int) bool {
	for i, said := range p.said {
		if string(from.raw(first+i)) != said {
			return false
		}
	}
	return true
}

// scan reads the columns from first to the one before end. What is text becomes one string,
// of which the columns are parts: one for each would be most of what a fetch allocates.
func (r *fetchReader) scan(from values, first, end int) error {
	r.text, r.ends = r.text[:0], r.ends[:0]
	for i, c := range r.columns[first:end] {
		if _, text := c.to.(*string); text {
			r.text = append(r.text, from.raw(first+i)...)
			r.ends = append(r.ends, len(r.text))
		} else if err := scan(c.to, from, first+i); err != nil {
			return fmt.Errorf("reading %s: %w", c.name, err)
		}
	}
	all, begin, ends := string(r.text), 0, r.ends
	for _, c := range r.columns[first:end] {
		if to, text := c.to.(*string); text {
			*to, begin, ends = all[begin:ends[0]], ends[0], ends[1:]
		}
	}
	return nil
}

// values are those of one row, in the format that the database gives them in.
type values interface {
	null(i int) bool
	raw(i int) []byte // nil where it is null; good until the next row
	bool(i int) (bool, error)
	int(i int) (int64, error)
	time(i int) (time.Time, error)
}

// scan reads one value that is no text. database/sql would find out for each how to convert it, which
// takes longer than the reading.
func scan(to any, from values, i int) (err error) {
	switch v := to.(type) {
	case **string:
		if !from.null(i) {
			*v = new(string(from.raw(i)))
		}
	case *models.ProviderStatus:
		*v = models.ProviderStatus(from.raw(i))
	case *models.Trouble:
		*v = models.Trouble(from.raw(i))
	case **models.Verdict:
		if !from.null(i) {
			*v = new(models.Verdict(from.raw(i)))
		}
	case *[]byte:
		*v = bytes.Clone(from.raw(i))
	case *bool:
		*v, err = from.bool(i)
	case *int64:
		*v, err = from.int(i)
	case *time.Time:
		*v, err = from.time(i)
	case **time.Time:
		if !from.null(i) {
			*v = new(time.Time)
			**v, err = from.time(i)
		}
	case sql.Scanner:
		err = v.Scan(from.raw(i))
	default:
		err = fmt.Errorf("the hot query cannot read into %T", to)
	}
	return err
}
