// Package brokertest is the test kit: throw-away databases, a clock, the test
// authorization server and the whole service around them. A nil *Options means
// good defaults. Only tests import it.
//
//	func TestMain(m *testing.M) { brokertest.Main(m) }
//
//	func TestX(t *testing.T) {
//		brokertest.Each(t, func(t *testing.T, backend brokertest.Backend) {
//			h := brokertest.New(t, &brokertest.Options{Backend: backend})
//			p := h.Provider(t, "test")
//			a := h.Consent(t, h.User, p, "ada")
//			…
//		})
//	}
package brokertest
