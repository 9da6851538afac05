package api

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/models"
)

// neverRefused are the operations that the limit on requests at once does not refuse:
// they complete a consent, take something back, or read a job (T2). A request that
// follows a job or waits for it counts among those that wait.
var neverRefused = map[string]bool{
	"callback": true, "pollDevice": true, "pollExternalDevice": true,
	"confirmConnectLink": true, "withdrawConnectLink": true,
	"deleteProvider": true, "deleteAuthorization": true, "revokeUser": true, "revokeToken": true, "deleteExternalAuth": true,
	"endSession": true, "endSessions": true, "revokeApiToken": true,
	"getJob": true, "listJobs": true, "listJobItems": true, "watchJob": true,
}

// limit is the middleware that bounds how many requests of a caller and of its
// organisation are answered at once.
func (s *Server) limit(ctx huma.Context, next func(huma.Context)) {
	if err := s.takePlace(ctx.Context()); err != nil {
		write(humaecho.UnwrapV4(ctx), s.problem(ctx.Context(), err))
		return
	}
	next(ctx)
}

// takePlace counts a request of the caller's until it has been answered.
func (s *Server) takePlace(ctx context.Context) error {
	k := callOf(ctx)
	done, err := s.beginRequest(k.caller)
	k.done = done
	return err
}

// countFailure counts a failed authentication for the address that it comes from. It
// returns what to answer: err, or that there were too many. An err of another kind is
// returned as it is.
func (s *Server) countFailure(c echo.Context, err error) error {
	if models.CodeOf(err) != models.CodeUnauthenticated {
		return err
	}
	if from, known := s.clientAddress(c); known {
		if tooMany := s.addFailure(from); tooMany != nil {
			return tooMany
		}
	}
	return err
}

// clientAddress is where a request comes from. Behind a proxy that is not trusted, and
// behind one that does not tell, it is unknown: all its clients have its address.
func (s *Server) clientAddress(c echo.Context) (netip.Addr, bool) {
	r := c.Request()
	from, err := netip.ParseAddr(c.RealIP())
	if err != nil {
		return netip.Addr{}, false // a unix socket
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	switch {
	case err == nil && forwarded(r.Header) && !s.trusts(peer.Addr()):
		s.warnOfProxy("requests come through a proxy that GRANTD_TRUSTED_PROXIES does not name", peer.Addr())
		return netip.Addr{}, false
	case s.trusts(from):
		s.warnOfProxy("requests come from an address that GRANTD_TRUSTED_PROXIES names, and X-Forwarded-For does not tell whose they are", from)
		return netip.Addr{}, false
	}
	return from, true
}

// warnOfProxy warns once in the life of a process.
func (s *Server) warnOfProxy(what string, proxy netip.Addr) {
	s.proxyWarning.Do(func() {
		s.log.Warn(what+": failed authentications are not limited by address there", "proxy", proxy.String())
	})
}

func forwarded(h http.Header) bool {
	return h.Get(echo.HeaderXForwardedFor) != "" || h.Get(echo.HeaderXRealIP) != "" || h.Get("Forwarded") != ""
}

func (s *Server) trusts(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range s.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
