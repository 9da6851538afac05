package main

import (
	"time"

	"github.com/grantd/grantd/broker"
)

// counts are the limits that are numbers, by flag.
func (c *Config) counts() map[string]int {
	return map[string]int{
		"limit-consents": c.LimitConsents, "limit-consents-org": c.LimitConsentsOrg, "limit-consents-person": c.LimitConsentsPerson,
		"limit-waiting": c.LimitWaiting, "limit-waiting-org": c.LimitWaitingOrg, "limit-imports": c.LimitImports,
		"limit-imports-org": c.LimitImportsOrg, "limit-checks": c.LimitChecks, "limit-checks-org": c.LimitChecksOrg,
		"limit-requests": c.LimitRequests, "limit-requests-org": c.LimitRequestsOrg, "limit-failures": c.LimitFailures,
	}
}

func (c *Config) limits() broker.Limits {
	return broker.Limits{
		Consents: broker.Limit{Caller: c.LimitConsents, Org: c.LimitConsentsOrg}, PersonConsents: c.LimitConsentsPerson,
		Requests: broker.Limit{Caller: c.LimitRequests, Org: c.LimitRequestsOrg},
		Waiting:  broker.Limit{Caller: c.LimitWaiting, Org: c.LimitWaitingOrg},
		Imports:  broker.Limit{Caller: c.LimitImports, Org: c.LimitImportsOrg},
		Checks:   broker.Limit{Caller: c.LimitChecks, Org: c.LimitChecksOrg}, Failures: c.LimitFailures,
	}
}

func judgeLimit(n int) string {
	if n < 1 || n > 1_000_000 {
		return "must be between 1 and 1000000"
	}
	return ""
}

func judgeBodyTime(d time.Duration) string {
	if d < time.Second || d > 5*time.Minute {
		return "must be between 1s and 5m"
	}
	return ""
}
