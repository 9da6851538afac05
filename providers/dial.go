package providers

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"code.dny.dev/ssrf"
)

// errBlocked is an address that may not be dialled.
var errBlocked = errors.New("the address is not allowed")

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer decides by name who may be dialled. What an operator listed is dialled
// as it is. Everything else, names that tenants chose among it, is resolved
// here, every address is judged, and an address that was judged is dialled: a
// name that resolves differently the second time gains nothing.
type dialer struct {
	allow  allowlist
	guard  *ssrf.Guardian
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	listed dialFunc // dials a name of the allow list
	judged dialFunc // dials an address that was judged, and judges it again at the socket
}

const dialTimeout = 10 * time.Second

func newDialer(allow allowlist) *dialer {
	var v4, v6 []netip.Prefix
	for _, prefix := range allow.prefixes {
		if prefix.Addr().Is4() {
			v4 = append(v4, prefix)
		} else {
			v6 = append(v6, prefix)
		}
	}
	guard := ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
	return &dialer{
		allow:  allow,
		guard:  guard,
		lookup: net.DefaultResolver.LookupNetIP,
		listed: (&net.Dialer{Timeout: dialTimeout}).DialContext,
		judged: (&net.Dialer{Timeout: dialTimeout, Control: guard.Safe}).DialContext,
	}
}

// DialContext is for http.Transport.
func (d *dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if d.allow.dials(host, port) {
		return d.listed(ctx, network, addr)
	}
	addrs, err := d.resolve(ctx, host, port)
	if err != nil {
		return nil, err
	}
	return d.first(ctx, network, addrs)
}

// resolve returns the addresses of a name, or errBlocked if any is forbidden: an
// honest name has no private address among its public ones.
func (d *dialer) resolve(ctx context.Context, host, port string) ([]netip.AddrPort, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, errPort
	}
	ips, err := d.lookup(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.AddrPort
	for _, ip := range ips {
		addr := netip.AddrPortFrom(ip.Unmap(), uint16(n))
		if d.guard.SafeAddrPort(addr) != nil {
			return nil, errBlocked
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// first dials one address after the other, each with its share of the time that
// is left, so that one unreachable address does not use it up.
func (d *dialer) first(ctx context.Context, network string, addrs []netip.AddrPort) (net.Conn, error) {
	err := errBlocked
	for i, addr := range addrs {
		attempt, cancel := share(ctx, len(addrs)-i)
		var conn net.Conn
		conn, err = d.judged(attempt, network, addr.String())
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// share returns ctx with 1/n of the time that is left.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n == 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
}
