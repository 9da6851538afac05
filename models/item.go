package models

import "time"

// JobItem is what a job did about one authorization: all that is left of it
// (P1).
type JobItem struct {
	AuthorizationID string    `json:"authorizationId"`
	UserID          string    `json:"userId"`
	ProviderID      string    `json:"providerId"`
	Outcome         Outcome   `json:"outcome"`
	Reason          string    `json:"reason"` // of the outcome, safe to show; often ""
	SettledAt       time.Time `json:"settledAt"`
}
