package broker

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// What the console's pages show, one call each. All of it is for admins of the organisation that it is about, and nothing
// of it asks an upstream. What an admin does in the console is done by the methods that the API calls.

// ErrSignInAgain is the answer to who signed in too long ago for what they want to do.
var ErrSignInAgain = models.Errorf(models.CodeForbidden, "This needs a sign-in within the last 15 minutes. Sign in again, then repeat it.")

// SignedInRecently is nil for who may do in the console what cannot be undone, and ErrSignInAgain for who has to prove
// once more who they are.
func (s *Service) SignedInRecently(ctx context.Context, v Visitor) error {
	now, err := s.store.Now(ctx)
	if err != nil {
		return err
	}
	if now.Sub(v.SignedInAt) > recentSignIn {
		return ErrSignInAgain
	}
	return nil
}

// Overview is what an admin has to know first: what does not work now, and how many connections do.
type Overview struct {
	Troubles    []Troubled
	Connections []StatusCount // in the order of models.AuthorizationStatuses
	Pauses      []Paused
	Refused     []RefusedSecret
	Failed      []models.Job // that ended in ERROR, and that nothing has gone on with
	Running     []models.Job
}

// Total is how many connections there are.
func (o Overview) Total() int64 { return sum(o.Connections) }

// Quiet reports whether there is nothing that an admin should look at.
func (o Overview) Quiet() bool {
	return len(o.Troubles)+len(o.Refused)+len(o.Pauses)+len(o.Failed) == 0
}

// StatusCount is how many connections have a status.
type StatusCount struct {
	Status models.AuthorizationStatus
	N      int64
}

func sum(counts []StatusCount) int64 {
	var n int64
	for _, c := range counts {
		n += c.N
	}
	return n
}

// Troubled is a provider that something is wrong with as a whole.
type Troubled struct {
	models.Provider
	Message     string
	RegisterURL string // where the client is registered at the vendor, "" where that is not known
}

// Paused is an upstream that is not called for now.
type Paused struct {
	Provider models.Provider
	Class    string // of the endpoints, as the store names it
	Origin   string
	Until    time.Time
}

// shownAtMost bounds each list of the overview.
const shownAtMost = 20

// Overview tells an admin how the organisation's providers and jobs are doing.
func (s *Service) Overview(ctx context.Context, c models.Caller) (Overview, error) {
	if err := onlyAdmins(c); err != nil {
		return Overview{}, err
	}
	var o Overview
	err := firstError(
		func() (err error) { o.Troubles, err = s.troubled(ctx, c); return err },
		func() (err error) { o.Connections, err = s.connectionsByStatus(ctx, c); return err },
		func() (err error) { o.Pauses, err = s.paused(ctx, c); return err },
		func() (err error) { o.Refused, err = s.refusedSecrets(ctx, c); return err },
		func() (err error) {
			o.Failed, err = s.store.FailedJobs(ctx, c.OrgID, c.Limits(), shownAtMost)
			return err
		},
		func() (err error) { o.Running, err = s.unfinishedJobs(ctx, c); return err },
	)
	for _, jobs := range [][]models.Job{o.Failed, o.Running} {
		for i := range jobs {
			jobs[i] = summary(jobs[i])
		}
	}
	return o, err
}

// firstError does one step after the other, up to the first that fails.
func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) troubled(ctx context.Context, c models.Caller) ([]Troubled, error) {
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.TroubledProviders(ctx, c.OrgID)
	rows = within(c, rows)
	var all []Troubled
	for _, p := range rows[:min(len(rows), shownAtMost)] {
		all = append(all, Troubled{p, s.troubleMessage(p, now), s.at(p).RegisterURL()})
	}
	return all, err
}

// troubleMessage is the sentence that callers are answered with while the provider is in trouble, "" while it is not.
func (s *Service) troubleMessage(p models.Provider, now time.Time) string {
	if p.InTrouble() == "" {
		return ""
	}
	return inTrouble(p, now).Error()
}

func (s *Service) connectionsByStatus(ctx context.Context, c models.Caller) ([]StatusCount, error) {
	counts, err := s.store.CountLinks(ctx, c.OrgID, c.Limits())
	return byStatus(counts), err
}

// byStatus adds up counts, in the order in which the statuses are told.
func byStatus(counts []store.Count) []StatusCount {
	all := make([]StatusCount, len(models.AuthorizationStatuses))
	for i, status := range models.AuthorizationStatuses {
		all[i].Status = status
		for _, c := range counts {
			if c.Status == string(status) {
				all[i].N += c.N
			}
		}
	}
	return all
}

// paused returns the pauses that the organisation's providers wait for. One that holds for everybody who calls an origin
// concerns the providers that call it.
func (s *Service) paused(ctx context.Context, c models.Caller) ([]Paused, error) {
	pauses, err := s.store.PausesNow(ctx, c.OrgID, 10*shownAtMost)
	if err != nil || len(pauses) == 0 {
		return nil, err
	}
	rows, err := s.store.Providers(ctx, c.OrgID, store.ProviderFilter{Within: c.Limits(), Limit: 1000})
	if err != nil {
		return nil, err
	}
	var all []Paused
	for _, p := range rows {
		for _, pause := range pauses {
			if s.waitsFor(p, pause) && len(all) < shownAtMost {
				all = append(all, Paused{p, string(pause.Class), pause.Origin, pause.Until})
			}
		}
	}
	return all, nil
}

func (s *Service) waitsFor(p models.Provider, pause store.Pause) bool {
	if pause.ProviderID != "" {
		return pause.ProviderID == p.ID
	}
	return slices.Contains(s.at(p).called(pause.Class).Origins, pause.Origin)
}

func (s *Service) unfinishedJobs(ctx context.Context, c models.Caller) ([]models.Job, error) {
	return s.store.Jobs(ctx, c.OrgID, store.JobFilter{Statuses: []string{string(models.JobPending), string(models.JobRunning)}, Providers: c.Limits(), Limit: shownAtMost})
}

// ProviderOverview is a provider with how many connections it has.
type ProviderOverview struct {
	models.Provider
	TypeName    string // what people call its type
	Connections []StatusCount
	Message     string // what is wrong with it as a whole, "" for nothing
}

// Total is how many connections the provider has.
func (p ProviderOverview) Total() int64 { return sum(p.Connections) }

// ProviderOverviews is Providers with how many connections each has, for admins.
func (s *Service) ProviderOverviews(ctx context.Context, c models.Caller, q ProviderQuery) (Page[ProviderOverview], error) {
	var shown Page[ProviderOverview]
	if err := onlyAdmins(c); err != nil {
		return shown, err
	}
	page, err := s.Providers(ctx, c, q)
	if err != nil {
		return shown, err
	}
	shown.Next, shown.Previous = page.Next, page.Previous
	shown.Data, err = s.withCounts(ctx, c.OrgID, page.Data)
	return shown, err
}

func (s *Service) withCounts(ctx context.Context, org string, rows []models.Provider) ([]ProviderOverview, error) {
	ids := make([]string, len(rows))
	for i, p := range rows {
		ids[i] = p.ID
	}
	counts, err := s.store.CountLinks(ctx, org, ids)
	if err != nil {
		return nil, err
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	byProvider := map[string][]store.Count{}
	for _, c := range counts {
		byProvider[c.Name] = append(byProvider[c.Name], c)
	}
	shown := make([]ProviderOverview, len(rows))
	for i, p := range rows {
		shown[i] = ProviderOverview{Provider: p, TypeName: s.typeName(p.Type), Connections: byStatus(byProvider[p.ID]), Message: s.troubleMessage(p, now)}
	}
	return shown, nil
}

func (s *Service) typeName(name string) string {
	if t, ok := s.upstream.Type(name); ok {
		return t.DisplayName
	}
	return name
}

// ProviderDetails is what the page of one provider shows.
type ProviderDetails struct {
	ProviderOverview
	CallbackURL string   // to be registered at the vendor
	RegisterURL string   // where that is done, "" where it is not known
	AskedScopes []string // in a consent
	Deletion    *models.Job
}

// ProviderDetails returns a provider of the organisation, for admins.
func (s *Service) ProviderDetails(ctx context.Context, c models.Caller, id string) (ProviderDetails, error) {
	p, err := s.Provider(ctx, c, id)
	if err == nil {
		err = onlyAdmins(c)
	}
	if err != nil {
		return ProviderDetails{}, err
	}
	overview, err := s.withCounts(ctx, c.OrgID, []models.Provider{p})
	if err != nil {
		return ProviderDetails{}, err
	}
	d := ProviderDetails{ProviderOverview: overview[0], CallbackURL: s.ConnectURL(p.ID),
		RegisterURL: s.at(p).RegisterURL(), AskedScopes: s.at(p).askedScopes(p.Scopes)}
	if p.DeleteJobID != nil {
		j, err := s.store.Job(ctx, *p.DeleteJobID)
		if err != nil && !store.IsNotFound(err) {
			return d, err
		}
		if err == nil {
			d.Deletion = &j
		}
	}
	return d, nil
}

// JobReport is what the page of one job shows.
type JobReport struct {
	models.Job
	Provider *models.Provider // of the organisation, that the job is about, while there is one
	Outcomes []OutcomeCount   // none for a job without items
	Total    int64
	Pending  int64
	// Items are those that failed, at most a hundred; MoreItems is whether there are others.
	Items     []models.JobItem
	MoreItems bool
	// CanResume is whether the provider's deletion is to be asked for again.
	CanResume bool
}

// OutcomeCount is how many items of a job ended in one way.
type OutcomeCount struct {
	Outcome models.Outcome
	N       int64
}

// JobReport returns a job of the organisation with the items that failed, for admins.
func (s *Service) JobReport(ctx context.Context, c models.Caller, id string) (JobReport, error) {
	j, err := s.Job(ctx, c, id)
	if err != nil {
		return JobReport{}, err
	}
	r := JobReport{Job: j}
	r.count()
	if j.ProviderID != nil {
		p, err := s.visibleProvider(ctx, c, *j.ProviderID)
		switch {
		case err == nil:
			r.Provider = &p
			r.CanResume = j.Type == models.JobDeleteProvider && j.Status == models.JobError && p.DeleteJobID != nil && *p.DeleteJobID == j.ID
		case models.CodeOf(err) != models.CodeNotFound:
			return r, err
		}
	}
	failed, err := s.JobItems(ctx, c, id, ItemQuery{Outcomes: []string{string(models.OutcomeFailed)}})
	r.Items, r.MoreItems = failed.Data, failed.Next != ""
	return r, err
}

// CountOf reads a detail of a job that is a count.
func CountOf(d models.Detail) (int64, bool) {
	text, _ := d.Value.(string)
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// count takes the counters of the outcomes out of the details, where every kind of job tells them.
func (r *JobReport) count() {
	byName := map[string]int64{}
	for _, d := range r.Details {
		if n, ok := CountOf(d); ok {
			byName[d.Name] = n
		}
	}
	r.Total, r.Pending = byName["total"], byName["pending"]
	outcomes := models.Outcomes
	switch {
	case r.Type == models.JobResetProvider:
		outcomes = models.ResetOutcomes
	case !r.Revokes():
		return
	}
	for _, o := range outcomes {
		r.Outcomes = append(r.Outcomes, OutcomeCount{o, byName[string(o)]})
	}
}
