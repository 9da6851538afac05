package providers

import (
	"cmp"
	"context"
	"regexp"
	"strings"

	"github.com/grantd/grantd/models"
)

// A GitHub App is installed on accounts and organisations before it sees their
// repositories; config.appSlug is its name in GitHub's addresses.

var appSlug = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,98}[a-z0-9])?$`)

func isAppSlug(_ allowlist, v any) string {
	if slug, ok := v.(string); !ok || !appSlug.MatchString(slug) {
		return "must be the app's name in its address: lower-case letters, digits and hyphens"
	}
	return ""
}

// githubInstallURL is where the app is installed: Enterprise Server keeps apps
// at another path than github.com does.
func githubInstallURL(u *upstream) string {
	slug, _ := u.c.Config["appSlug"].(string)
	base, err := u.t.base(u.c)
	if slug == "" || err != nil {
		return ""
	}
	path := "/github-apps/"
	if host, secure := strings.CutPrefix(base, "https://"); secure && githubCloud(host) {
		path = "/apps/"
	}
	return base + path + slug + "/installations/new"
}

// githubInstallations lists the first hundred installations that the person and
// the app both reach.
func githubInstallations(ctx context.Context, u *upstream, access models.Secret) ([]models.Installation, error) {
	a, err := u.get(ctx, u.e.API+"/user/installations?per_page=100", access, githubJSON)
	if err != nil {
		return nil, err
	}
	var listed struct {
		Installations []struct {
			ID      int64
			Account struct {
				ID                int64
				Login, Slug, Name string
				Avatar            string `json:"avatar_url"`
				Page              string `json:"html_url"`
			}
			Page string `json:"html_url"`
		}
	}
	if decode(a.body, &listed) != nil {
		return nil, protocol("the list of installations is not JSON")
	}
	all := []models.Installation{}
	for _, i := range listed.Installations {
		all = append(all, models.Installation{ID: i.ID, ConfigureURL: link(i.Page), Account: models.Account{
			ID: i.Account.ID, Login: plain(cmp.Or(i.Account.Login, i.Account.Slug)), Name: plain(i.Account.Name),
			AvatarURL: link(i.Account.Avatar), ProfileURL: link(i.Account.Page),
		}})
	}
	return all, nil
}
