// Command install installs the Go client of a commit as a user would: from a module proxy, which is a folder here, into a
// new module. It fails where a program that imports the client does not build, or gets more in its go.sum than its few lines.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// most is how many lines of go.sum a user may get.
const most = 4

var grantd = module.Version{Path: "github.com/grantd/grantd", Version: "v0.0.1"}

// program is what a user writes.
const program = `package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/client/clienttest"
	"github.com/grantd/grantd/models"
)

func main() {
	grantd := clienttest.Start()
	defer grantd.Close()
	id := grantd.Connect("ada", clienttest.Account{Login: "ada"})
	c := client.New(grantd.URL, models.Secret(grantd.Token), nil).For("ada")
	token, err := client.NewStore(context.Background(), c).Token(context.Background(), id)
	fmt.Println(token.AccessToken != "", err, http.RoundTripper(c.Transport(id)) != nil)
	_, err = c.Token(context.Background(), "another")
	fmt.Println(errors.Is(err, client.ErrNotFound))
}
`

const says = "true <nil> true\ntrue\n"

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: install FOLDER, which is grantd's repository")
	}
	if err := install(os.Args[1]); err != nil {
		log.Fatal("installing the Go client as a user would: ", err)
	}
}

func install(repository string) error {
	folder, err := os.MkdirTemp("", "grantd-install-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	source := filepath.Join(folder, "source")
	if err := checkOut(repository, source); err != nil {
		return fmt.Errorf("the commit: %w", err)
	}
	if err := publish(source, filepath.Join(folder, "proxy")); err != nil {
		return fmt.Errorf("the module: %w", err)
	}
	app := filepath.Join(folder, "app")
	if err := os.Mkdir(app, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(app, "main.go"), []byte(program), 0o644); err != nil {
		return err
	}
	cached, err := run(app, nil, "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return err
	}
	known, proxies, _ := strings.Cut(strings.TrimSpace(cached), "\n")
	// A cache of its own, so that no commit before counts; what else is known already is not fetched again.
	environment := []string{"GOMODCACHE=" + filepath.Join(folder, "cache"), "GOFLAGS=-modcacherw", "GONOSUMDB=*", "GOWORK=off", "GOTOOLCHAIN=local",
		"GOPROXY=file://" + filepath.Join(folder, "proxy") + ",file://" + filepath.Join(known, "cache", "download") + "," + proxies}
	for _, arguments := range [][]string{{"mod", "init", "example.com/app"}, {"get", grantd.Path + "/client@" + grantd.Version}} {
		if _, err := run(app, environment, arguments...); err != nil {
			return err
		}
	}
	said, err := run(app, environment, "run", ".")
	if err != nil {
		return err
	}
	if said != says {
		return fmt.Errorf("the program says %q, want %q", said, says)
	}
	sums, err := os.ReadFile(filepath.Join(app, "go.sum"))
	if err != nil {
		return err
	}
	if lines := bytes.Count(sums, []byte("\n")); lines > most {
		return fmt.Errorf("go.sum has %d lines, at most %d are wanted:\n%s", lines, most, sums)
	}
	return nil
}

// checkOut puts the files of the commit into a folder.
func checkOut(repository, folder string) error {
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	archive := folder + ".tar"
	for _, command := range []*exec.Cmd{
		exec.Command("git", "-C", repository, "archive", "--format=tar", "--output="+archive, "HEAD"),
		exec.Command("tar", "-xf", archive, "-C", folder),
	} {
		if said, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, said)
		}
	}
	return nil
}

// publish makes a folder a proxy that has what is in source.
func publish(source, proxy string) error {
	versions := filepath.Join(proxy, grantd.Path, "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(versions, grantd.Version+".zip"))
	if err != nil {
		return err
	}
	if err := errors.Join(zip.CreateFromDir(file, grantd, source), file.Close()); err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"list": grantd.Version + "\n", grantd.Version + ".info": `{"Version":"` + grantd.Version + `"}`, grantd.Version + ".mod": string(mod)} {
		if err := os.WriteFile(filepath.Join(versions, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func run(folder string, environment []string, arguments ...string) (string, error) {
	command := exec.Command("go", arguments...)
	command.Dir, command.Env = folder, append(os.Environ(), environment...)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(arguments, " "), err, problems.String())
	}
	return string(out), nil
}
