package models

// Account is an upstream's account as the external-auth API shows it.
type Account struct {
	// ID is the upstream's number for the account, 0 where its name for accounts
	// is no number.
	ID         int64  `json:"id"`
	Login      string `json:"login"`
	AvatarURL  string `json:"avatar_url"`
	ProfileURL string `json:"profile_url"`
	Name       string `json:"name"`
}

// Installation is an app that was installed for an account upstream.
type Installation struct {
	ID           int64   `json:"id"`
	Account      Account `json:"account"`
	ConfigureURL string  `json:"configure_url"`
}
