package models

import "time"

// Statistic names what is counted of a day.
type Statistic string

// The statistics: connections by state as they were counted last on that day, and how often something happened.
const (
	StatisticActive               Statistic = "active"
	StatisticExpired              Statistic = "expired"
	StatisticInvalidOAuthClient   Statistic = "invalidOAuthClient"
	StatisticInvalidProviderState Statistic = "invalidProviderState"
	StatisticMade                 Statistic = "made"
	StatisticRefreshed            Statistic = "refreshed"
	StatisticRefreshFailed        Statistic = "refreshFailed"
	StatisticRevoked              Statistic = "revoked"
	StatisticFetched              Statistic = "fetched"
)

// Day is what is counted of one day of UTC. What was not counted is 0.
type Day struct {
	Day                  time.Time `json:"day"`
	Active               int64     `json:"active"`
	Expired              int64     `json:"expired"`
	InvalidOAuthClient   int64     `json:"invalidOAuthClient"`
	InvalidProviderState int64     `json:"invalidProviderState"`
	Made                 int64     `json:"made"`
	Refreshed            int64     `json:"refreshed"`
	RefreshFailed        int64     `json:"refreshFailed"`
	Revoked              int64     `json:"revoked"`
	Fetched              int64     `json:"fetched"`
}

// Of returns where a statistic stands, nil for one that this version does not know.
func (d *Day) Of(name Statistic) *int64 {
	switch name {
	case StatisticActive:
		return &d.Active
	case StatisticExpired:
		return &d.Expired
	case StatisticInvalidOAuthClient:
		return &d.InvalidOAuthClient
	case StatisticInvalidProviderState:
		return &d.InvalidProviderState
	case StatisticMade:
		return &d.Made
	case StatisticRefreshed:
		return &d.Refreshed
	case StatisticRefreshFailed:
		return &d.RefreshFailed
	case StatisticRevoked:
		return &d.Revoked
	case StatisticFetched:
		return &d.Fetched
	}
	return nil
}
