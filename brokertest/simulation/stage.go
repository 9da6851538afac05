package simulation

import (
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
	"testing/cryptotest"
	"testing/synctest"

	"github.com/grantd/grantd/brokertest/protocol"
)

// Options are how long a play is.
type Options struct {
	Moves    int        // 0 means 60
	Replicas int        // 0 means 2 or 3, as the seed decides
	Only     []Decision // the only moves and faults, in their order; nil for any: see Minimise
}

// Result is how a play went.
type Result struct {
	Seed       uint64
	Log        string
	Violations []Violation
	Faults     map[string]int
	Moves      map[string]int
	Rows       map[string]int // how often each row of a table of states was reached
	Logs       []*protocol.Log
	Gates      int
	Decisions  []Decision // the moves and the faults
}

// Violation is a promise that was broken.
type Violation struct {
	Invariant string // such as "I1"
	Text      string
}

func (v Violation) String() string { return v.Invariant + ": " + v.Text }

// Stage plays seeds, all from the same image. It is not safe for concurrent use: the
// randomness of a play is that of the whole process.
type Stage struct {
	t      *testing.T
	image  *image
	shared *shared
	played map[uint64]Result // see First
}

// stage is that of the process, nil until it is needed.
var stage *Stage

// NewStage returns a stage, with an image that is made once for a process. Close ends it.
func NewStage(t *testing.T) *Stage {
	t.Helper()
	collected := debug.SetGCPercent(400) // a play leaves nothing behind, and takes little memory
	t.Cleanup(func() { debug.SetGCPercent(collected) })
	if stage != nil {
		return &Stage{t, stage.image, stage.shared, stage.played}
	}
	cryptotest.SetGlobalRandom(t, 0)
	folder, err := os.MkdirTemp("", "grantd-simulation-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "image.db")
	made := &Stage{t, newImage(t, path), nil, map[uint64]Result{}}
	if made.shared, err = share(path); err != nil {
		t.Fatal(err)
	}
	made.shared.folder = folder
	stage = made
	return made
}

// Close ends what NewStage has begun.
func Close() error {
	if stage == nil {
		return nil
	}
	return errors.Join(stage.shared.close(), os.RemoveAll(stage.shared.folder))
}

// mostKept bounds whose results are kept.
const mostKept = 300

// First is Play, but for the results of the first seeds, which are kept: tests share them.
func (s *Stage) First(seed uint64) Result {
	s.t.Helper()
	r, ok := s.played[seed]
	if !ok {
		r = s.Play(seed, Options{})
		if seed <= mostKept {
			s.played[seed] = r
		}
	}
	return r
}

// Play plays a seed. What it returns depends on the seed and the options alone.
func (s *Stage) Play(seed uint64, o Options) Result {
	s.t.Helper()
	var r Result
	s.within(seed, o, func(w *world) error {
		defer func() { r = w.result() }()
		return w.play()
	})
	return r
}

// within makes a world in a bubble of its own, and has something happen there.
func (s *Stage) within(seed uint64, o Options, happen func(*world) error) {
	s.t.Helper()
	if err := s.shared.begin(); err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		if err := s.shared.end(); err != nil {
			s.t.Fatal(err)
		}
	}()
	cryptotest.SetGlobalRandom(s.t, seed)
	synctest.Test(s.t, func(t *testing.T) {
		w := newWorld(s.image, s.shared, seed, o)
		if err := happen(w); err != nil {
			t.Errorf("seed %d: %v", seed, errors.Join(err, w.close()))
		}
	})
}
