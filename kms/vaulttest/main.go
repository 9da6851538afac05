// Command vaulttest is HashiCorp Vault with its transit engine, less what Vault's own command brings along: the other engines,
// storages and ways to sign in, and the clients of every cloud. It is the server that `make kms` holds brokertest/transit and
// grantd to. Like `vault` it is started as `vaulttest server -config=FILE`, and it is initialised, unsealed and set up through
// its API.
//
// It is Vault 1.13.0, under the MPL 2.0; why not a later one is in docs/decisions/0057-the-keyset-sealed-by-a-kms.md.
package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/command/server"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vaulttest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var file string
	if len(args) == 2 && args[0] == "server" {
		file, _ = strings.CutPrefix(args[1], "-config=")
	}
	if file == "" {
		return errors.New("usage: vaulttest server -config=FILE")
	}
	config, err := server.LoadConfigFile(file)
	if err != nil {
		return err
	}
	if len(config.Listeners) != 1 || config.Storage == nil || config.Storage.Type != "inmem" {
		return errors.New("the configuration must have one listener, and the storage inmem")
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "vault", Level: hclog.Info, Output: os.Stderr})
	storage, err := inmem.NewInmem(nil, log)
	if err != nil {
		return err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		RawConfig:       config,
		Physical:        storage,
		StorageType:     config.Storage.Type,
		DisableMlock:    config.DisableMlock,
		Logger:          log,
		BuiltinRegistry: none{},
		LogicalBackends: map[string]logical.Factory{"transit": transit.Factory},
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", config.Listeners[0].Address)
	if err != nil {
		return err
	}
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: config.Listeners[0]})
	return http.Serve(listener, handler)
}

// none is the registry of the engines that Vault's own command has beside those that the core is given.
type none struct{}

func (none) Contains(string, consts.PluginType) bool                   { return false }
func (none) Get(string, consts.PluginType) (func() (any, error), bool) { return nil, false }
func (none) Keys(consts.PluginType) []string                           { return nil }
func (none) DeprecationStatus(string, consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Unknown, false
}
