package pages

import (
	"cmp"
	"fmt"
	"html/template"
	"strings"
	"time"
	"unicode"

	"github.com/grantd/grantd/models"
)

// parseTemplates reads the templates for a server whose public URL has this path. inWords says what a scope allows at a
// provider, "" where that is not known.
func parseTemplates(prefix, console string, brand Brand, inWords func(models.Provider, string) string) *template.Template {
	brand.Name = cmp.Or(brand.Name, "grantd")
	at := func(path string) string { return prefix + path }
	return template.Must(template.New("").Funcs(template.FuncMap{
		"at":      at,
		"style":   func() string { return at(styleSheet.path) },
		"script":  func() string { return at(linkScript.path) },
		"brand":   func() Brand { return brand },
		"logo":    brand.logoPath,
		"console": func() string { return console },
		"titled":  func(v view, title string) titled { return titled{v, title} },
		"inWords": func(p models.Provider, scopes []string) []scope {
			all := make([]scope, len(scopes))
			for i, s := range scopes {
				all[i] = scope{s, inWords(p, s)}
			}
			return all
		},
		"initials": initials,
		"icon":     icon,
		"ago":      func(t time.Time) string { return ago(time.Now(), t) },
		"rfc3339":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}).ParseFS(templateFiles, "templates/*.html"))
}

// scope is a scope with what it allows in words, "" where that is not known.
type scope struct{ Name, Words string }

// titled is a page with its title, for the templates that surround it.
type titled struct {
	view
	Title string
}

// initials are one or two letters that stand for a name where there is no icon.
func initials(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	var all []rune
	for _, word := range words[:min(len(words), 2)] {
		all = append(all, unicode.ToUpper([]rune(word)[0]))
	}
	return string(all)
}

// icon is the address of a provider's icon if this host serves it, "" otherwise: our pages load nothing from anybody
// else, who would learn who reads them.
func icon(p models.Provider) string {
	if address, _ := p.Config["icon"].(string); strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "//") {
		return address
	}
	return ""
}

// ago says in words how long ago something was, or on which day if that is more than a month.
func ago(now, t time.Time) string {
	switch past := now.Sub(t); {
	case past < 2*time.Minute:
		return "just now"
	case past < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", past/time.Minute)
	case past < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", past/time.Hour)
	case past < 31*24*time.Hour:
		return fmt.Sprintf("%d days ago", past/(24*time.Hour))
	}
	return t.UTC().Format("2 January 2006")
}
