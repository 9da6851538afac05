package broker

import (
	"reflect"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

// A code signs in once, in its time, and no other code does.
func TestACodeSignsInOnce(t *testing.T) {
	t.Parallel()
	var s Service
	root := models.Caller{OrgID: "dev", UserID: "root"}
	wrong := func(why string, code models.Secret) {
		t.Helper()
		if c, err := s.TakeOnce(code); models.CodeOf(err) != models.CodeUnauthenticated || c.UserID != "" {
			t.Errorf("%s: %v, %v", why, c, err)
		}
	}
	wrong("none was made", "")
	code := s.OfferOnce(root, time.Minute)
	wrong("another code", "x")
	if c, err := s.TakeOnce(code); err != nil || !reflect.DeepEqual(c, root) {
		t.Errorf("%v, %v", c, err)
	}
	wrong("again", code)
	wrong("nothing, after it was used", "")
	wrong("too late", s.OfferOnce(root, 0))
	former := s.OfferOnce(root, time.Minute)
	s.OfferOnce(root, time.Minute)
	wrong("replaced", former)
}
