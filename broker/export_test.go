package broker

import "context"

// TallySize is how many a tally counts for at most.
const TallySize = tallySize

// Listening returns how many clients listen for links, and how many pollers look for them.
func (s *Service) Listening() (clients, pollers int) {
	s.links.mu.Lock()
	defer s.links.mu.Unlock()
	for _, p := range s.links.byID {
		clients += p.waiting
	}
	return clients, len(s.links.byID)
}

// Ruled reports whether an error is a decision of the rules.
var Ruled = ruled

// ResetOver says why a reset stops with items left.
var ResetOver = resetOver

// ErrResetRefused stops a reset whose client is refused.
var ErrResetRefused = errResetRefused

// RefreshAhead refreshes authorizations as the sweep does, and waits for that.
func (s *Service) RefreshAhead(ctx context.Context, ids ...string) error {
	if _, err := s.refreshAhead(ctx, ids); err != nil {
		return err
	}
	return s.Wait(ctx)
}

// Refreshes returns how many refreshes are under way in this process, how many are in line
// for callers, and how many in line that nobody waits for.
func (s *Service) Refreshes() (underWay, inLine, ahead int) {
	f := s.flights
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.byID) - len(f.urgent) - len(f.ahead), len(f.urgent), len(f.ahead)
}
