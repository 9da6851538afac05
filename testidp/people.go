package testidp

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// person is a resource owner. Everybody exists: a person who is not built in is
// derived from the login, so a hundred thousand people cost no memory.
type person struct {
	ID            int64
	Login         string
	Given, Family string
	Bio           string
}

var builtIn = []person{
	{1, "ada", "Ada", "Lovelace", "Wrote the first program for a machine that was never built."},
	{2, "grace", "Grace", "Hopper", "Taught computers to read words."},
	{3, "linus", "Linus", "Pauling", "Merges things."},
}

// findPerson returns the person with this login, the first one for none.
func findPerson(login string) person {
	if login == "" {
		return builtIn[0]
	}
	for _, p := range builtIn {
		if p.Login == login {
			return p
		}
	}
	return person{ID: derivedID(login), Login: login, Given: login, Family: "Example"}
}

// derivedID fits in 53 bits, because clients may read numbers as JavaScript
// does, and is large enough for logins not to collide.
func derivedID(login string) int64 {
	h := fnv.New64a()
	h.Write([]byte(login))
	return int64(h.Sum64()>>11) | 1<<20
}

func validLogin(login string) bool {
	return len(login) <= 100 && utf8.ValidString(login) && !strings.ContainsFunc(login, unicode.IsControl)
}

func (p person) Name() string  { return p.Given + " " + p.Family }
func (p person) email() string { return p.Login + "@example.test" }

func (p person) picture(base string) string {
	return base + "/avatars/" + url.PathEscape(p.Login) + ".svg"
}

// avatar draws a letter on a disc, so that pages showing pictures need no
// other host.
func avatar(w http.ResponseWriter, r *http.Request) {
	letter, _ := utf8.DecodeRuneInString(strings.ToUpper(r.PathValue("file")))
	if !unicode.IsLetter(letter) {
		letter = '?'
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">`+
		`<circle cx="32" cy="32" r="32" fill="#3b5b92"/><text x="32" y="43" font-size="32" `+
		`font-family="sans-serif" text-anchor="middle" fill="#fff">%c</text></svg>`, letter)
}
