package models

// User is a person as the upstream describes them. Only Sub identifies; it is
// never an e-mail address or a login, which people change.
type User struct {
	Sub         string         `json:"sub"`
	Name        string         `json:"name"`
	GivenName   string         `json:"givenName"`
	FamilyName  string         `json:"familyName"`
	NickName    string         `json:"nickName"`
	Email       string         `json:"email"`
	Picture     string         `json:"picture"`
	Locale      string         `json:"locale"`
	Description string         `json:"description"`
	Raw         map[string]any `json:"raw"`
	// ProfileURL is the account's page for people, "" where none is known.
	ProfileURL string `json:"-"`
}
