package broker_test

import (
	"context"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

func TestMain(m *testing.M) { brokertest.Main(m) }

var ctx = context.Background()

// each runs a test in an instance on both backends.
func each(t *testing.T, f func(*testing.T, *brokertest.Instance)) {
	eachWith(t, brokertest.Options{}, f)
}

func eachWith(t *testing.T, o brokertest.Options, f func(*testing.T, *brokertest.Instance)) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		o := o
		o.Backend = b
		f(t, brokertest.New(t, &o))
	})
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantCode fails unless err carries the code.
func wantCode(t *testing.T, err error, code models.Code) {
	t.Helper()
	if got := models.CodeOf(err); got != code {
		t.Errorf("the error is %q (%v), want %q", got, err, code)
	}
}

// detail returns a job's detail by name.
func detail(j models.Job, name string) any {
	for _, d := range j.Details {
		if d.Name == name {
			return d.Value
		}
	}
	return nil
}

// ended waits until a job has ended.
func ended(t *testing.T, h *brokertest.Instance, id string) models.Job {
	t.Helper()
	var j models.Job
	brokertest.Eventually(t, "the job ends", func() bool {
		j = must(h.Service.Job(ctx, h.Admin.Caller, id))(t)
		return j.Status.Final()
	})
	return j
}
