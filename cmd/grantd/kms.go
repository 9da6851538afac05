package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
)

// keysetSettings say where the key is that seals the keyset, if it is sealed.
type keysetSettings struct {
	KeysetKEK      string        `name:"keyset-kek" placeholder:"KEY" help:"A key elsewhere that seals the keyset: vault:MOUNT/NAME for the transit engine of Vault or OpenBao, exec:PROGRAM for other key management services. By default the keys are in clear in the file."`
	KeysetContext  string        `name:"keyset-context" default:"grantd" placeholder:"NAME" help:"The name of this installation, which a sealed keyset is bound to: it does not open for another one."`
	VaultAddr      string        `placeholder:"URL" help:"With vault:, the address of the server, such as https://vault.example.com:8200."`
	VaultNamespace string        `placeholder:"NAME" help:"With vault:, the namespace of the engine."`
	VaultToken     models.Secret `placeholder:"TOKEN" help:"With vault:, the token to ask with."`
	VaultTokenFile string        `placeholder:"FILE" help:"With vault:, a file with the token, such as the sink of a Vault Agent; it is read for each request."`
	VaultCAFile    string        `name:"vault-ca-file" placeholder:"FILE" help:"With vault:, certificates in PEM that the server's certificate is judged by; by default those of the system."`
}

// kek returns the key that is named like GRANTD_KEYSET_KEK, and nil where none is.
func (c *Config) kek(named string) (secrets.KEK, error) {
	scheme, rest, _ := strings.Cut(named, ":")
	switch {
	case named == "":
		return nil, nil
	case scheme == "exec":
		return secrets.NewExecKEK(rest)
	case scheme == "vault":
		if c.VaultAddr == "" {
			return nil, errors.New("vault: needs GRANTD_VAULT_ADDR, and GRANTD_VAULT_TOKEN or GRANTD_VAULT_TOKEN_FILE")
		}
		if (c.VaultToken.Reveal() == "") == (c.VaultTokenFile == "") {
			return nil, errors.New("vault: needs either GRANTD_VAULT_TOKEN or GRANTD_VAULT_TOKEN_FILE")
		}
		at := strings.LastIndexByte(rest, '/')
		v := secrets.Vault{Address: c.VaultAddr, Mount: strings.Trim(rest[:max(at, 0)], "/"), Key: rest[at+1:], Namespace: c.VaultNamespace, Token: c.vaultToken, CAFile: c.VaultCAFile}
		key, err := secrets.NewVaultKEK(v)
		if err != nil {
			return nil, fmt.Errorf("vault: %w", err)
		}
		return key, nil
	}
	return nil, errors.New("must be vault:MOUNT/NAME or exec:PROGRAM, or be left out")
}

// maxVaultToken bounds what is read in place of a token.
const maxVaultToken = 64 << 10

func (c *Config) vaultToken() (string, error) {
	if c.VaultTokenFile == "" {
		return c.VaultToken.Reveal(), nil
	}
	f, err := os.Open(c.VaultTokenFile)
	if err != nil {
		return "", fmt.Errorf("GRANTD_VAULT_TOKEN_FILE: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxVaultToken))
	if err != nil {
		return "", fmt.Errorf("GRANTD_VAULT_TOKEN_FILE: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" || strings.ContainsAny(token, "\r\n\x00") {
		return "", fmt.Errorf("GRANTD_VAULT_TOKEN_FILE: %s does not hold a token alone", c.VaultTokenFile)
	}
	return token, nil
}

func judgeKeysetContext(name string) string {
	if name == "" || len(name) > 128 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "must be 1 to 128 characters of ASCII without spaces, such as production"
	}
	return ""
}

// keyset is the keyset's file, with the key that seals it. A KMS that is away is asked again for a while, which the log says.
func (c *Config) keyset(log *slog.Logger) (secrets.File, error) {
	f, err := c.keysetSealedBy(c.KeysetKEK, log)
	return f, named("GRANTD_KEYSET_KEK", err)
}

// keysetFor is keyset for a command that works on the file, once the settings and what else the command needs are right.
func (c *Config) keysetFor(of console, needs ...error) (secrets.File, error) {
	if err := c.validate(append([]error{c.needKeyset()}, needs...)...); err != nil {
		return secrets.File{}, err
	}
	return c.keyset(c.logger(of.err))
}

func (c *Config) keysetSealedBy(name string, log *slog.Logger) (secrets.File, error) {
	f := secrets.File{Path: c.Keyset, Installation: c.KeysetContext}
	key, err := c.kek(name)
	if key != nil && log != nil {
		key = secrets.Patient(key, func(err error, next time.Duration) {
			log.Warn("the key management service does not open or seal the keyset; it is asked again", "key", key.String(), "error", err, "inSeconds", next.Seconds())
		})
	}
	f.KEK = key
	return f, err
}
