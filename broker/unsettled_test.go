package broker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/testidp"
)

// poisoned is how many rows of a hostile organisation come before the one that counts:
// more than three sweeps take up.
const poisoned = 320

// ownerless makes a consent whose tokens find no owner, past its time, and returns its id.
func ownerless(t *testing.T, h *brokertest.Instance, who brokertest.Person, p models.Provider) string {
	t.Helper()
	back := h.Approve(t, h.Authorize(t, who, p), "ada")
	back.ProviderID = p.ID
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 503, Times: 1})
	_, err := h.Service.Complete(ctx, who.Caller, back)
	wantCode(t, err, models.CodeUpstream)
	var id string
	if err := brokertest.SQL(t, h.DatabaseURL).QueryRow("SELECT id FROM flows WHERE status = 'exchanged' AND provider_id = '" + p.ID + "'").Scan(&id); err != nil {
		t.Fatal(err)
	}
	exec(t, h, "UPDATE flows SET expires_at = created_at WHERE id = '"+id+"'")
	return id
}

func exec(t *testing.T, h *brokertest.Instance, statement string) {
	t.Helper()
	if _, err := brokertest.SQL(t, h.DatabaseURL).Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// poison makes flows that do not open of one that is ownerless, each older than it, and
// spoils that one too.
func poison(t *testing.T, h *brokertest.Instance, id string) {
	t.Helper()
	columns := []string{"org_id", "provider_id", "channel", "state_hash", "status", "redirect_uri", "skip_consent", "scopes", "fingerprint",
		"sealed", "code_hash", "failure", "claimed_at", "exchanged_at", "expires_at", "created_at"}
	list := strings.Join(columns, ", ")
	exec(t, h, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO flows (id, user_id, sealed_tokens, %s)
		SELECT id || CAST(i AS TEXT), 'user' || CAST(i AS TEXT), sealed, %s FROM flows, n WHERE id = '%s'`, poisoned-1, list, list, id))
	exec(t, h, "UPDATE flows SET sealed_tokens = sealed WHERE id = '"+id+"'")
}

func failureOf(t *testing.T, h *brokertest.Instance, flow string) (models.FlowStatus, string) {
	t.Helper()
	f := must(h.Store.Flow(ctx, flow))(t)
	return f.Status, f.Failure
}

// Finding F3: 300 consents whose tokens could not be settled were the first in every
// sweep, for ever, so that another organisation's tokens without an owner stayed valid.
func TestT4_FlowsThatCannotBeSettledHoldUpNobody(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		hostile := ownerless(t, h, h.User, p)
		poison(t, h, hostile)
		theirs := must(h.Service.CreateProvider(ctx, h.Other.Caller, models.ProviderInput{Name: "Theirs", Type: "test",
			ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret}))(t)
		victim := ownerless(t, h, h.Other, theirs)
		for range poisoned/100 + 1 {
			if err := h.Service.Sweep(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if status, why := failureOf(t, h, victim); status != models.FlowFailed || why != "no_owner" {
			t.Errorf("the other organisation's flow is %s (%s), want it settled", status, why)
		}
		if status, why := failureOf(t, h, hostile); status != models.FlowExchanged || why != "undecryptable" {
			t.Errorf("a flow that does not open is %s (%s), want it kept with its reason (K2)", status, why)
		}

		// The deletion of their provider ends, and says what it could not do.
		end := func(force bool) models.Job {
			j := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, force))(t)
			for range 3 {
				if err := h.Service.RunRevocation(ctx, j.ID); err != nil {
					t.Fatal(err)
				}
			}
			return must(h.Service.Job(ctx, h.Admin.Caller, j.ID))(t)
		}
		for range 2 { // DELETE resumes it
			if j := end(false); j.Status != models.JobError || detail(j, "failed") != fmt.Sprint(poisoned) || detail(j, "total") != fmt.Sprint(poisoned) {
				t.Errorf("the deletion is %s with failed %v of %v", j.Status, detail(j, "failed"), detail(j, "total"))
			}
		}
		if j := end(true); j.Status != models.JobCompleted || detail(j, "abandoned") != fmt.Sprint(poisoned) || detail(j, "total") != fmt.Sprint(poisoned) {
			t.Errorf("by force the deletion is %s with abandoned %v of %v", j.Status, detail(j, "abandoned"), detail(j, "total"))
		}
	})
}

// Finding F3: what was sealed with a NUL in its scopes before they were made fit is
// settled too.
func TestT3_AFlowThatIsPoisonedAlreadyIsSettled(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		f := must(h.Store.Flow(ctx, ownerless(t, h, h.User, h.Provider(t, "test"))))(t)
		owner := secrets.FlowOwner(f.ID, "tokens", f.OrgID, f.UserID, f.ProviderID)
		var tokens map[string]any
		if err := json.Unmarshal(must(h.Keys.Open(owner, f.SealedTokens))(t), &tokens); err != nil {
			t.Fatal(err)
		}
		tokens["s"] = []string{"a\x00b", "read"}
		sealed := must(h.Keys.Seal(owner, must(json.Marshal(tokens))(t)))(t)
		exec(t, h, fmt.Sprintf(map[bool]string{true: "UPDATE flows SET sealed_tokens = '\\x%x'", false: "UPDATE flows SET sealed_tokens = x'%x'"}[strings.HasPrefix(h.DatabaseURL, "postgres")], sealed))
		if err := h.Service.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if status, why := failureOf(t, h, f.ID); status != models.FlowFailed || why != "no_owner" {
			t.Errorf("the flow is %s (%s)", status, why)
		}
	})
}

// Tokens that cannot be settled are given up on when single revocations are, and an
// admin can see it.
func TestT4_FlowsThatCannotBeSettledAreGivenUpOn(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		flow := ownerless(t, h, h.User, h.Provider(t, "test"))
		exec(t, h, "UPDATE flows SET sealed_tokens = sealed")
		sweep := func(want models.FlowStatus) {
			t.Helper()
			if err := h.Service.Sweep(ctx); err != nil {
				t.Fatal(err)
			}
			if status, _ := failureOf(t, h, flow); status != want {
				t.Errorf("the flow is %s, want %s", status, want)
			}
		}
		sweep(models.FlowExchanged)
		sweep(models.FlowExchanged)
		before := time.Now().UTC().Add(-8 * 24 * time.Hour).Format("2006-01-02 15:04:05.000")
		exec(t, h, "UPDATE flows SET exchanged_at = '"+before+"'")
		sweep(models.FlowFailed)
		var events int
		if err := brokertest.SQL(t, h.DatabaseURL).QueryRow("SELECT count(*) FROM audit_events WHERE action = 'flow.failed' AND code = 'abandoned'").Scan(&events); err != nil || events != 1 {
			t.Errorf("%d events: %v", events, err)
		}
	})
}

// Where one organisation's row fails each time, the others' statistics, counts and
// retention go on, and what failed is done when it can be.
func TestT4_OneOrganisationsFailureKeepsNoOthers(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
	h.Provider(t, "test") // acme's, the first in the alphabet
	p := must(h.Service.CreateProvider(ctx, h.Other.Caller, models.ProviderInput{Name: "Theirs", Type: "test",
		ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret}))(t)
	a := h.Consent(t, h.Other, p, "ada")
	mine := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
	count := func(query string) int {
		t.Helper()
		var n int
		if err := brokertest.SQL(t, h.DatabaseURL).QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, on := range []string{"INSERT ON jobs", "INSERT ON token_fetches"} {
		exec(t, h, "CREATE TRIGGER fails_"+strings.ReplaceAll(on, " ", "_")+" BEFORE "+on+" WHEN NEW.org_id = 'acme' BEGIN SELECT RAISE(ABORT, 'refused'); END")
	}
	if err := h.Service.Sweep(ctx); err == nil {
		t.Error("nobody is told that acme's statistics failed")
	}
	if n := count("SELECT count(*) FROM jobs WHERE org_id = 'globex' AND type = 'STATS'"); n != 1 {
		t.Errorf("globex has %d STATS jobs", n)
	}
	must(h.Service.Token(ctx, h.Other.Caller, a.ID, 0))(t)
	must(h.Service.Token(ctx, h.User.Caller, mine.ID, 0))(t)
	if err := h.Service.FlushFetches(ctx); err != nil {
		t.Errorf("counts of fetches: %v", err)
	}
	if n := count("SELECT count(*) FROM token_fetches"); n != 1 || !strings.Contains(h.Log.String(), "is dropped") {
		t.Errorf("%d counts are stored", n)
	}

	exec(t, h, "DROP TRIGGER fails_INSERT_ON_jobs")
	if err := h.Service.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if n := count("SELECT count(*) FROM jobs WHERE type = 'STATS'"); n != 2 {
		t.Errorf("%d STATS jobs, want one for each organisation", n)
	}

	exec(t, h, "UPDATE jobs SET status = 'COMPLETED', finished_at = '2001-01-01 00:00:00.000'")
	exec(t, h, "CREATE TRIGGER stays BEFORE DELETE ON jobs WHEN OLD.org_id = 'acme' BEGIN SELECT RAISE(ABORT, 'refused'); END")
	if err := h.Service.Sweep(ctx); err == nil {
		t.Error("nobody is told that a job was not forgotten")
	}
	if n := count("SELECT count(*) FROM jobs WHERE org_id = 'globex' AND finished_at IS NOT NULL"); n != 0 {
		t.Errorf("globex's old job was not forgotten")
	}
}
