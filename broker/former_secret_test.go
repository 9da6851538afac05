package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// replaced gives a provider a new secret, and keeps the former one for an hour.
func replaced(t *testing.T, h *brokertest.Instance, p models.Provider, secret models.Secret) models.Provider {
	t.Helper()
	hour := int64(3600)
	return must(h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{ClientSecret: &secret, FormerSecretExpiresIn: &hour}))(t)
}

func audited(t *testing.T, h *brokertest.Instance, action models.Action) int {
	t.Helper()
	return len(must(h.Service.AuditTrail(ctx, h.Admin.Caller, broker.AuditQuery{Actions: []string{string(action)}}))(t).Data)
}

func sqlOf(t *testing.T, h *brokertest.Instance, statement string) {
	t.Helper()
	must(brokertest.SQL(t, h.DatabaseURL).Exec(statement))(t)
}

func secretsKept(t *testing.T, h *brokertest.Instance) int64 {
	t.Helper()
	return brokertest.Column[int64](t, brokertest.SQL(t, h.DatabaseURL), "SELECT count(*) FROM secure_configs")[0]
}

// R5: the new secret is sent. Where the upstream refuses it, the same call is made once more with the former one, which
// spends a token once; that this succeeds is the new secret's refusal, told once, and no verdict about anybody.
func TestR5_TheFormerSecretIsTriedWhereTheNewOneIsRefused(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		p = replaced(t, h, p, "not-known-there-yet")
		if p.FormerSecret == nil || p.FormerSecret.UsedAt != nil || time.Until(p.FormerSecret.ExpiresAt) < 50*time.Minute {
			t.Fatalf("the former secret is %+v", p.FormerSecret)
		}
		calls := func() int64 { return h.IdP.Stats().Calls[testidp.Refresh] }
		for n := range int64(2) {
			stale(t, h, a)
			before := calls()
			must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
			if made := calls() - before; made != 2 {
				t.Errorf("refresh %d made %d calls", n, made)
			}
		}
		if l := must(h.Store.Linked(ctx, a.ID))(t); l.Credential.Verdict != nil || l.Credential.Failures != 0 || l.Provider.Trouble != "" {
			t.Errorf("the credential is %+v, the trouble %q", l.Credential, l.Provider.Trouble)
		}
		told := must(h.Service.Provider(ctx, h.Admin.Caller, p.ID))(t)
		if told.FormerSecret == nil || told.FormerSecret.UsedAt == nil || audited(t, h, models.ActionSecretRefused) != 1 {
			t.Errorf("the former secret is %+v, audited %d times", told.FormerSecret, audited(t, h, models.ActionSecretRefused))
		}
		if users := must(h.Service.Provider(ctx, h.User.Caller, p.ID))(t); users.FormerSecret != nil {
			t.Error("a user is told of the former secret")
		}
		if o := must(h.Service.Overview(ctx, h.Admin.Caller))(t); len(o.Refused) != 1 || o.Quiet() {
			t.Errorf("the overview tells of %d", len(o.Refused))
		}
		if o := must(h.Service.Overview(ctx, h.Other.Caller))(t); len(o.Refused) != 0 {
			t.Error("another organisation is told")
		}

		// Codes, introspection and revocation likewise.
		b := h.Consent(t, h.Colleague, p, "grace")
		if check := must(h.Service.Check(ctx, h.Colleague.Caller, b.ID))(t); !check.Valid {
			t.Errorf("the check says %+v", check)
		}
		if err := h.Service.Disconnect(ctx, h.Colleague.Caller, b.ID); err != nil || h.IdP.Stats().LiveGrants != 1 {
			t.Errorf("disconnecting: %v, %d grants live", err, h.IdP.Stats().LiveGrants)
		}

		// Once the upstream takes the new one, the former is not sent.
		h.IdP.SetSecret(brokertest.ClientID, "not-known-there-yet")
		stale(t, h, a)
		before := calls()
		must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
		if made := calls() - before; made != 1 {
			t.Errorf("with the new secret known a refresh makes %d calls", made)
		}
		// Where both are refused, that is the client's refusal as ever.
		h.IdP.SetSecret(brokertest.ClientID, "a third one")
		stale(t, h, a)
		_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
		if wantCode(t, err, models.CodeUpstream); !strings.Contains(err.Error(), "OAuth client") {
			t.Errorf("both are refused: %v", err)
		}
		if n := h.IdP.Stats().RefreshReused; n != 0 {
			t.Errorf("%d refresh tokens were spent twice", n)
		}
		for _, secret := range []string{brokertest.ClientSecret, "not-known-there-yet"} {
			if strings.Contains(h.Log.String(), secret) {
				t.Error("a secret is in the log")
			}
		}
	})
}

// An answer that is no definite refusal of the secret leaves the call as it is: nothing is sent twice.
func TestR5_OnlyADefiniteRefusalIsAReasonToTryTheFormerSecret(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		replaced(t, h, p, "another")
		h.IdP.SetSecret(brokertest.ClientID, "another")
		for what, fault := range map[string]testidp.Fault{
			"unavailable":         {Status: 503},
			"unauthorized_client": {Status: 400, Error: "unauthorized_client"},
			"invalid_grant":       {Status: 400, Error: "invalid_grant"},
		} {
			fault.Endpoint, fault.Times = testidp.Refresh, 1
			h.IdP.Inject(fault)
			stale(t, h, a)
			sqlOf(t, h, "UPDATE credentials SET next_attempt_at = NULL, verdict = NULL, failures = 0")
			before := h.IdP.Stats().Calls[testidp.Refresh]
			if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err == nil {
				t.Errorf("%s: a token came", what)
			}
			if made := h.IdP.Stats().Calls[testidp.Refresh] - before; made != 1 {
				t.Errorf("%s: %d calls were made", what, made)
			}
			h.IdP.ClearFaults()
		}
		if audited(t, h, models.ActionSecretRefused) != 0 {
			t.Error("the new secret is said to be refused")
		}
	})
}

// At most two secrets exist; the older ends in its time, at once when it is asked for, with the place that it was given for,
// and with the provider (D3, A4). The secret version rises when the new one is saved and when the old one ends.
func TestA4_TheFormerSecretEnds(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		version := func() int64 { return must(h.Store.Provider(ctx, p.ID))(t).SecretVersion }
		refused := func(what string) {
			t.Helper()
			stale(t, h, a)
			sqlOf(t, h, "UPDATE credentials SET next_attempt_at = NULL")
			_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
			if wantCode(t, err, models.CodeUpstream); err != nil && !strings.Contains(err.Error(), "OAuth client") {
				t.Errorf("%s: %v", what, err)
			}
		}
		replaced(t, h, p, "second")
		replaced(t, h, p, "third")
		if n := secretsKept(t, h); n != 2 || version() != 3 {
			t.Errorf("%d secrets are kept, the version is %d", n, version())
		}
		refused("the secret before the former one")

		if kept := replaced(t, h, p, brokertest.ClientSecret); kept.FormerSecret == nil {
			t.Error("no former secret is told")
		}
		replaced(t, h, p, "fourth")
		stale(t, h, a)
		must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
		sqlOf(t, h, "UPDATE secure_configs SET ends_at = created_at WHERE ends_at IS NOT NULL")
		refused("a former secret whose time is over")
		before := version()
		for range 2 { // it is safe to do twice
			if err := h.Service.Sweep(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if n := secretsKept(t, h); n != 1 || version() != before+1 || audited(t, h, models.ActionFormerSecretEnded) != 1 {
			t.Errorf("after its time %d secrets are kept, the version is %d after %d, audited %d times", n, version(), before, audited(t, h, models.ActionFormerSecretEnded))
		}

		replaced(t, h, p, "fifth")
		before, now := version(), int64(0)
		if got := must(h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{FormerSecretExpiresIn: &now}))(t); got.FormerSecret != nil || secretsKept(t, h) != 1 || version() != before+1 {
			t.Errorf("ended at once: %+v, %d secrets, version %d after %d", got.FormerSecret, secretsKept(t, h), version(), before)
		}
		replaced(t, h, p, "sixth")
		if err := secretTo(p, "seventh")(h); err != nil || secretsKept(t, h) != 1 {
			t.Errorf("replaced without keeping one: %v, %d secrets", err, secretsKept(t, h))
		}

		for what, ch := range map[string]models.ProviderPatch{
			"too long":         {ClientSecret: new(models.Secret("x")), FormerSecretExpiresIn: new(int64(604801))},
			"negative":         {ClientSecret: new(models.Secret("x")), FormerSecretExpiresIn: new(int64(-1))},
			"without a secret": {FormerSecretExpiresIn: new(int64(60))},
			"the same secret":  {ClientSecret: new(models.Secret("seventh")), FormerSecretExpiresIn: new(int64(60))},
		} {
			_, err := h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, ch)
			if models.CodeOf(err) != models.CodeInvalid {
				t.Errorf("%s: %v", what, err)
			}
		}

		// With the provider: its deletion revokes with the former secret, and leaves no secret.
		replaced(t, h, p, "eighth")
		h.IdP.SetSecret(brokertest.ClientID, "seventh")
		j := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t)
		for range 3 {
			if err := h.Service.RunRevocation(ctx, j.ID); err != nil {
				t.Fatal(err)
			}
		}
		if j = must(h.Service.Job(ctx, h.Admin.Caller, j.ID))(t); j.Status != models.JobCompleted || detail(j, "revoked") != "1" || secretsKept(t, h) != 0 {
			t.Errorf("the deletion is %s: %v, %d secrets are left", j.Status, j.Details, secretsKept(t, h))
		}
	})
}

// A former secret goes nowhere but where it was given for.
func TestA4_TheFormerSecretEndsWithItsPlace(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		p := must(h.Service.CreateProvider(ctx, h.Admin.Caller, models.ProviderInput{Name: "GitHub", Type: "github", ClientID: "c", ClientSecret: "first", Metadata: models.ProviderMetadataInput{Host: "one.example"}}))(t)
		replaced(t, h, p, "second")
		there, secret, hour := &models.ProviderMetadataInput{Host: "two.example"}, models.Secret("third"), int64(3600)
		_, err := h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{Metadata: there, ClientSecret: &secret, FormerSecretExpiresIn: &hour})
		if wantCode(t, err, models.CodeInvalid); secretsKept(t, h) != 2 {
			t.Errorf("%d secrets are kept", secretsKept(t, h))
		}
		moved := must(h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{Metadata: there, ClientSecret: &secret}))(t)
		if moved.FormerSecret != nil || secretsKept(t, h) != 1 {
			t.Errorf("the former secret went along: %+v, %d are kept", moved.FormerSecret, secretsKept(t, h))
		}
	})
}
