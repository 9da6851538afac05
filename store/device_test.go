package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// deviceFlow keeps a device flow.
func (f fixture) deviceFlow(t *testing.T, interval, life time.Duration) models.Flow {
	t.Helper()
	flow := models.Flow{ID: id(), OrgID: "acme", UserID: "ada", ProviderID: f.provider.ID, Channel: models.ChannelDevice,
		StateHash: []byte(id()), Status: models.FlowOpen, Sealed: []byte("s"), PollInterval: interval}
	if err := f.InsertFlow(ctx, &flow, life); err != nil {
		t.Fatal(err)
	}
	return f.flow(t, flow.ID)
}

func (f fixture) flow(t *testing.T, id string) models.Flow {
	t.Helper()
	return must(f.Flow(ctx, id))(t)
}

// soon is a time that is over at once.
const soon = time.Nanosecond

// taken takes a poll that is due, and returns the flow as it is then.
func (f fixture) taken(t *testing.T, flow models.Flow, attempt string, lease time.Duration) models.Flow {
	t.Helper()
	if !must(f.TakePoll(ctx, flow, attempt, lease))(t) {
		t.Fatal("a poll that is due was refused")
	}
	return f.flow(t, flow.ID)
}

func TestOneOfManyMayPoll(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		flow := f.deviceFlow(t, soon, time.Minute)
		var wg sync.WaitGroup
		var taken atomic.Int64
		for range 20 {
			wg.Go(func() {
				if ok, err := f.TakePoll(ctx, flow, id(), time.Minute); err != nil {
					t.Error(err)
				} else if ok {
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		if taken.Load() != 1 {
			t.Errorf("%d of 20 may poll, want 1", taken.Load())
		}
	})
}

func TestNobodyPollsTooEarlyNorTooLate(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		early := f.deviceFlow(t, time.Hour, 2*time.Hour)
		if left := early.NextPollAt.Sub(early.CreatedAt); left != time.Hour {
			t.Errorf("the first poll may be after %v, want an hour", left)
		}
		over := f.deviceFlow(t, soon, soon)
		api := models.Flow{ID: id(), OrgID: "acme", UserID: "ada", ProviderID: f.provider.ID, Channel: models.ChannelAPI,
			StateHash: []byte("h"), Status: models.FlowOpen, Sealed: []byte("s"), PollInterval: soon}
		if err := f.InsertFlow(ctx, &api, time.Minute); err != nil {
			t.Fatal(err)
		}
		done := f.taken(t, f.deviceFlow(t, soon, time.Minute), "one", soon)
		if !must(f.SaveExchange(ctx, done.ID, []byte("t"), time.Minute))(t) {
			t.Fatal("the tokens were not saved")
		}
		for what, flow := range map[string]models.Flow{"not due": early, "over": over, "no device's": api, "exchanged": f.flow(t, done.ID)} {
			if must(f.TakePoll(ctx, flow, "two", time.Minute))(t) {
				t.Errorf("a flow that is %s was polled", what)
			}
		}
	})
}

// The outcome of a poll counts only while the poll is the flow's.
func TestR1_OnlyTheLastPollSpeaks(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		first := f.taken(t, f.deviceFlow(t, soon, time.Hour), "one", soon)
		if first.Status != models.FlowClaimed || first.PollAttempt != "one" {
			t.Errorf("taken, the flow is %+v", first)
		}
		second := f.taken(t, first, "two", soon) // the first one never ended
		if must(f.TakePoll(ctx, first, "three", time.Hour))(t) {
			t.Error("what was read before the second poll is enough for a third")
		}
		if err := f.SavePoll(ctx, second.ID, store.Poll{Attempt: "one", Next: soon, Interval: time.Second}); err != nil {
			t.Fatal(err)
		}
		if must(f.FailPoll(ctx, second.ID, "one", "declined"))(t) {
			t.Error("a poll that was overtaken ended the flow")
		}
		if now := f.flow(t, second.ID); now.Status != models.FlowClaimed || now.PollAttempt != "two" || now.PollInterval != soon {
			t.Errorf("a poll that was overtaken changed the flow to %+v", now)
		}
		if err := f.SavePoll(ctx, second.ID, store.Poll{Attempt: "two", Next: time.Hour, Interval: time.Minute, Failures: 3, Lost: true}); err != nil {
			t.Fatal(err)
		}
		now := f.flow(t, second.ID)
		if now.Status != models.FlowOpen || now.PollAttempt != "two" || now.PollInterval != time.Minute || now.PollFailures != 3 {
			t.Errorf("after an answer that was lost the flow is %+v", now)
		}
	})
}

// Tokens are saved however late they come: a device's flow may be open again.
func TestR10_ADevicesTokensMayComeLate(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		late := f.taken(t, f.deviceFlow(t, soon, time.Hour), "one", soon)
		if err := f.LapseFlows(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if now := f.flow(t, late.ID); now.Status != models.FlowOpen || now.PollAttempt != "one" {
			t.Errorf("a poll that never ended left the flow as %+v", now)
		}
		if !must(f.SaveExchange(ctx, late.ID, []byte("t"), time.Minute))(t) {
			t.Error("tokens that came late were not saved")
		}
		if must(f.SaveExchange(ctx, late.ID, []byte("u"), time.Minute))(t) {
			t.Error("tokens were saved twice")
		}
		api := models.Flow{ID: id(), OrgID: "acme", UserID: "ada", ProviderID: f.provider.ID, Channel: models.ChannelAPI,
			StateHash: []byte("h"), Status: models.FlowOpen, Sealed: []byte("s")}
		if err := f.InsertFlow(ctx, &api, time.Hour); err != nil {
			t.Fatal(err)
		}
		if must(f.SaveExchange(ctx, api.ID, []byte("t"), time.Minute))(t) {
			t.Error("a code that was not claimed brought tokens")
		}
	})
}

func TestADevicesFlowLapses(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		over, waiting := f.deviceFlow(t, soon, soon), f.deviceFlow(t, soon, time.Hour)
		if err := f.LapseFlows(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if now := f.flow(t, over.ID); now.Status != models.FlowFailed || now.Failure != "expired" {
			t.Errorf("a flow whose time is over is %+v", now)
		}
		if now := f.flow(t, waiting.ID); now.Status != models.FlowOpen {
			t.Errorf("a flow whose time is not over is %+v", now)
		}
	})
}
