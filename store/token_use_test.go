package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
)

// Which tokens are in use is written in steps, and when a sweep looks at one follows from
// what it finds.
func TestTokensInUseAreFoundWhenDue(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		db := brokertest.SQL(t, f.url)
		a, idle := f.authorization(t, "used", time.Hour).ID, f.authorization(t, "idle", time.Hour).ID
		due := func(want ...string) {
			t.Helper()
			if ids := must(f.InUseAndDue(ctx, time.Minute, 10, nil))(t); !slices.Equal(ids, want) {
				t.Errorf("%v are in use and due, want %v", ids, want)
			}
		}
		note := func(inUse time.Duration) {
			t.Helper()
			if err := f.NoteUse(ctx, []string{a, "nobody's"}, inUse, 15*time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		is := func(what, condition string) {
			t.Helper()
			if n := brokertest.Column[int](t, db, "SELECT count(*) FROM token_use u JOIN credentials c ON c.authorization_id = u.authorization_id WHERE "+condition); n[0] != 1 {
				t.Errorf("%s: not %s", what, condition)
			}
		}
		set := func(statement string) {
			t.Helper()
			must(db.Exec(statement))(t)
		}

		note(time.Hour)
		is("a fetch notes when the token is due", "u.due_at = c.refresh_after")
		due()
		before := brokertest.Column[time.Time](t, db, "SELECT used_until FROM token_use")
		note(time.Hour + 5*time.Minute)
		if now := brokertest.Column[time.Time](t, db, "SELECT used_until FROM token_use"); !slices.EqualFunc(now, before, time.Time.Equal) {
			t.Errorf("within the step the row was written again: %v, was %v", now, before)
		}

		set("UPDATE credentials SET ahead_after = expires_at")
		set("DELETE FROM token_use")
		note(time.Hour)
		is("it is refreshed ahead of callers some time after", "u.due_at = c.ahead_after AND c.ahead_after > c.refresh_after")
		set("UPDATE credentials SET ahead_after = NULL")

		set("UPDATE credentials SET refresh_after = saved_at")
		set("UPDATE token_use SET due_at = (SELECT saved_at FROM credentials WHERE authorization_id = token_use.authorization_id)")
		due(a)
		due() // it has had its turn
		set("UPDATE token_use SET due_at = used_until")
		set("UPDATE credentials SET refresh_after = expires_at")
		set("UPDATE token_use SET due_at = (SELECT saved_at FROM credentials WHERE authorization_id = token_use.authorization_id)")
		due()
		is("refreshed by somebody else", "u.due_at = c.refresh_after")

		set("UPDATE credentials SET refresh_after = saved_at, next_attempt_at = expires_at")
		set("UPDATE token_use SET due_at = (SELECT saved_at FROM credentials WHERE authorization_id = token_use.authorization_id)")
		due()
		is("backing off", "u.due_at > c.saved_at AND u.due_at < c.next_attempt_at")

		set("UPDATE credentials SET next_attempt_at = NULL, verdict = 'expired', verdict_generation = generation, verdict_secret_version = 1")
		set("UPDATE token_use SET due_at = (SELECT saved_at FROM credentials WHERE authorization_id = token_use.authorization_id)")
		due()
		is("expired", "u.due_at IS NULL")

		set("UPDATE credentials SET verdict = NULL")
		set("UPDATE token_use SET used_until = (SELECT saved_at FROM credentials WHERE authorization_id = token_use.authorization_id)")
		if n := must(f.EndUse(ctx, 10))(t); n != 0 {
			t.Errorf("%d rows without a due time were emptied", n)
		}
		note(time.Hour)
		is("fetched again", "u.due_at = c.refresh_after")
		due(a)
		set("UPDATE token_use SET due_at = used_until, used_until = (SELECT saved_at FROM credentials WHERE authorization_id = token_use.authorization_id)")
		if n := must(f.EndUse(ctx, 10))(t); n != 1 {
			t.Errorf("%d tokens went out of use, want 1", n)
		}
		is("out of use", "u.due_at IS NULL")
		due()
		if n := brokertest.Column[int](t, db, "SELECT count(*) FROM token_use WHERE authorization_id = '"+idle+"'"); n[0] != 0 {
			t.Error("a token that nobody fetched is in use")
		}
	})
}
