package contract_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

// A provider from its form to its end, in the browsers of an admin and of a person: registered, tried, connected at, and
// deleted with its name typed. The upstream refuses some revocations for a while: the bar moves, the job ends with an error,
// and goes on when the admin has it tried again, until nothing is left upstream.
func TestAProviderFromItsFormToItsDeletionInABrowser(t *testing.T) {
	t.Parallel()
	b, person := openBrowser(t), openBrowser(t)
	h := askingWith(t, brokertest.Options{Timing: broker.Timing{Backoff: time.Millisecond}})
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }

	// The form, with a mistake first.
	b.signsIn(t, h, h.Admin, "#now")
	b.do(t, chromedp.Navigate(h.URL+"/console/providers"), chromedp.WaitVisible(css("#new")), chromedp.Click(css("#new")),
		chromedp.WaitVisible(css("#type-test")), chromedp.Click(css("#type-test")), chromedp.WaitVisible(css("#save")),
		chromedp.SendKeys(css("#name"), "Tracker"), chromedp.SendKeys(css("#clientId"), "no client"), chromedp.SendKeys(css("#clientSecret"), brokertest.ClientSecret),
		chromedp.SendKeys(css("#scopes"), "no\"scope"), chromedp.Click(css("#save")), chromedp.WaitVisible(css("#scopes-problem")),
		chromedp.SetValue(css("#clientId"), brokertest.ClientID), chromedp.SetValue(css("#scopes"), "profile email"),
		chromedp.SendKeys(css("#clientSecret"), brokertest.ClientSecret), chromedp.Click(css("#save")), chromedp.WaitVisible(css("#done")))
	at := strings.TrimSuffix(b.landed(t, h.URL+"/console/providers/"), "?done=registered")
	p := at[strings.LastIndex(at, "/")+1:]
	values, err := chromedp.Run(b, chromedp.Evaluate[string](`[...document.querySelectorAll("input[readonly]")].map(i => i.value).join(" ")`))
	if err != nil || !strings.Contains(values, h.URL+connectAt(p)) {
		t.Errorf("the page does not offer the address to register, but %q: %v", values, err)
	}

	// The trial, which is removed.
	b.do(t, chromedp.Click(css("#try")), chromedp.WaitVisible(css("#begin")), chromedp.Click(css("#begin")))
	b.consents(t, "grace", "allow")
	b.do(t, chromedp.WaitVisible(css("#remove")))
	if shown := b.shows(t, "main"); !strings.Contains(shown, "grace") || !strings.Contains(shown, "access token is good") {
		t.Errorf("the trial tells %s", shown)
	}
	b.do(t, chromedp.Click(css("#remove")), chromedp.WaitVisible(css("#done")))
	brokertest.Eventually(t, "what the trial brought is revoked", func() bool { return grants(h) == 0 })

	// People connect, ada the last.
	for _, one := range []struct {
		who     brokertest.Person
		account string
	}{{h.Person(t, "acme", "third", "user"), "linus"}, {h.Colleague, "grace"}, {h.User, "ada"}} {
		person.signsIn(t, h, one.who, "#connect-"+p)
		person.do(t, chromedp.Click(css("#connect-"+p)))
		person.consents(t, one.account, "allow")
		person.do(t, chromedp.WaitVisible(css("#account")))
	}

	// Ada disconnects while the upstream refuses, is told so, and connects again. What the upstream refused is revoked later.
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 503})
	person.do(t, chromedp.Navigate(h.URL+"/connections"), chromedp.WaitVisible(css("a[href$='/disconnect']")), chromedp.Click(css("a[href$='/disconnect']")),
		chromedp.WaitVisible(css("#disconnect")), chromedp.Click(css("#disconnect")), chromedp.WaitVisible(css("#upstream")))
	if told := person.shows(t, "main"); !strings.Contains(told, "no longer connected") || !strings.Contains(told, "has not taken everything back yet") || strings.Contains(told, "has revoked") {
		t.Errorf("after a disconnect that the upstream refused, the page tells %s", told)
	}
	h.IdP.ClearFaults()
	brokertest.Eventually(t, "what the upstream refused is revoked", func() bool { return grants(h) == 2 })
	person.do(t, chromedp.Click(css("#all")), chromedp.WaitVisible(css("#connect-"+p)), chromedp.Click(css("#connect-"+p)))
	person.consents(t, "ada", "allow")
	person.do(t, chromedp.WaitVisible(css("#account")))

	// The deletion: its name is typed, wrong at first. Of three grants one cannot be revoked, and no answer comes for the others yet.
	going := make(chan struct{})
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Account: "linus", Status: 503}, testidp.Fault{Endpoint: testidp.Revoke, Until: going})
	b.do(t, chromedp.Navigate(at+"/delete"), chromedp.WaitVisible(css("#name")), chromedp.SendKeys(css("#name"), "tracker"), chromedp.Click(css("#confirm")),
		chromedp.WaitVisible(css("#problem")))
	if plainly := b.shows(t, "#plainly"); !strings.Contains(plainly, "3 connections go") {
		t.Errorf("the page says %s", plainly)
	}
	b.do(t, chromedp.SetValue(css("#name"), "Tracker"), chromedp.Click(css("#confirm")), chromedp.WaitVisible(css("#outcomes")))
	job := b.landed(t, h.URL+"/console/jobs/")
	b.becomes(t, "the job runs", "#status", "Running")
	visits := b.loaded(job)
	close(going)
	b.becomes(t, "the bar moves", "table", "Revoked at the provider\t2")
	b.becomes(t, "the job ends with an error", "#status", "Ended with an error")
	b.becomes(t, "the page tells what failed", "#items ~ .table", "third")
	if again := b.loaded(job); again != visits {
		t.Errorf("the page of the job was loaded %d times more", again-visits)
	}
	person.do(t, chromedp.Navigate(h.URL+"/connections"), chromedp.WaitVisible(css("main.wide")))
	if shown := person.shows(t, "main"); !strings.Contains(shown, "Nothing is connected yet") {
		t.Errorf("the person reads %s", shown)
	}

	// The upstream answers again, and the admin has it tried once more.
	h.IdP.ClearFaults()
	b.do(t, chromedp.Click(css("#resume")), chromedp.WaitNotPresent(css("#resume")), chromedp.WaitVisible(css("#outcomes")))
	if next := b.landed(t, h.URL+"/console/jobs/"); next == job {
		t.Error("the job that has ended is shown still")
	}
	b.becomes(t, "the job completes", "#status", "Completed")
	if n := grants(h); n != 0 {
		t.Errorf("%d grants are left upstream", n)
	}
	b.do(t, chromedp.Navigate(h.URL+"/console/providers"), chromedp.WaitVisible(css("#new")))
	if shown := b.shows(t, "main"); strings.Contains(shown, "Tracker") {
		t.Errorf("the list still has the provider: %s", shown)
	}
	b.mu.Lock() // Chromium notes that two forms were answered with what is wrong with them
	b.complaints = slices.DeleteFunc(b.complaints, func(c string) bool { return strings.Contains(c, "status of 422") })
	b.mu.Unlock()
	for _, who := range []*browser{b, person} {
		who.wantQuiet(t, host(t, h.URL), host(t, h.IdPURL))
	}
}
