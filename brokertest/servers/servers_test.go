package servers_test

import (
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/servers"
)

func TestMain(m *testing.M) { brokertest.Main(m) }

func TestGlewlwyd(t *testing.T) {
	play(t, func(t testing.TB) servers.Server { return servers.StartGlewlwyd(t) })
}

func TestDjangoOAuthToolkit(t *testing.T) {
	play(t, func(t testing.TB) servers.Server { return servers.StartDjango(t) })
}

func TestZitadelOIDC(t *testing.T) {
	play(t, func(t testing.TB) servers.Server { return servers.StartZitadel(t) })
}

func TestOIDCProvider(t *testing.T) {
	play(t, func(t testing.TB) servers.Server { return servers.StartOIDCProvider(t) })
}
