package broker

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
