package broker

import (
	"context"
	"sync"
	"time"

	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// Reached is whether the servers of a provider answer.
type Reached struct {
	ProviderID string
	Err        error // nil when they do; it names the cause, and is for operators only
}

// reachAtMost is how many providers ReachUpstreams asks for.
const reachAtMost = 1000

// ReachUpstreams asks the servers of the active providers of all organisations whether they
// answer, each for at most the given time, without any token or client secret.
func ReachUpstreams(ctx context.Context, in *store.Store, upstreams *providers.Registry, each time.Duration) ([]Reached, error) {
	all, err := in.ActiveProviders(ctx, reachAtMost)
	if err != nil {
		return nil, err
	}
	found := make([]Reached, len(all))
	places := make(chan struct{}, 16)
	var asked sync.WaitGroup
	for i, p := range all {
		asked.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			ctx, cancel := context.WithTimeout(ctx, each)
			defer cancel()
			found[i] = Reached{p.ID, upstreams.At(unsealedClient(p)).Reach(ctx)}
		})
	}
	asked.Wait()
	return found, nil
}
