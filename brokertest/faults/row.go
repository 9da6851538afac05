package main

import (
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
)

// row is one fault.
type row struct {
	name string // of the test, with the rule that the row is about
	what string // what was done
	play func(*scene) result
}

// result is what a row found out. What should not have been otherwise is no
// result but a failure.
type result struct {
	lost      int64         // consents that have to be given again, or grants left upstream, without need
	spent     int64         // refresh tokens that were spent twice (R3)
	recovered time.Duration // from the end of the fault, or the fault itself where it has none
	note      string
}

// deadline is how long a row may take on a machine that has nothing else to do. The
// longest rows wait for a lease of 40 s.
func deadline(full bool) time.Duration {
	if full {
		return 4 * time.Minute
	}
	return 2 * time.Minute
}

// on plays the row.
func (r row) on(tb testing.TB, binary string, full bool) result {
	tb.Helper()
	ctx, cancel := brokertest.WithPatience(tb.Context(), deadline(full))
	defer cancel()
	return r.play(&scene{TB: tb, ctx: ctx, binary: binary, full: full})
}

// rows are all there are, in the order of the report.
var rows = []row{
	{"D6_OneWorkerIsKilled", "kill -9 of one of two workers during a deletion", oneWorkerIsKilled},
	{"D6_AllWorkersAreKilled", "kill -9 of both workers during a deletion, then a new one", allWorkersAreKilled},
	{"D6_AFrozenWorkersOutcomesAreRefused", "a worker frozen (SIGSTOP) until its items' leases ran out and another one finished", aFrozenWorker},
	{"D6_AFrozenWorkersTransactionIsEnded", "the same, frozen while it writes outcomes in a transaction", aWorkerFrozenInATransaction},
	{"D6_AWorkerIsCutOffFromSQL", "a worker cut off from SQL until its items' leases ran out and another one finished", aWorkerCutOff},
	{"O1_RedisIsEmptied", "FLUSHALL in the middle of a deletion", redisIsEmptied},
	{"O1_RedisIsDownAtDelete", "Redis down at DELETE, up again later", redisIsDown},
	{"O1_RedisIsPaused", "Redis frozen (SIGSTOP) during a deletion and token fetches", redisIsPaused},
	{"R11_PostgresIsRestarted", "PostgreSQL restarted under token fetches, refreshes and a deletion", postgresIsRestarted},
	{"R7_AHerdAtASlowUpstream", "upstream: 2 s for each refresh while many tokens are due and are fetched", aHerdAtASlowUpstream},
	{"R1_AHerdDuringARestart", "PostgreSQL restarted while many tokens are due and are fetched", aHerdDuringARestart},
	{"R1_AReplicaIsCutOffFromSQL", "an API replica cut off from SQL until the lease of its refresh ran out and another replica had tried", aReplicaCutOff},
	{"R1_AReplicaIsFrozen", "an API replica frozen (SIGSTOP) with the upstream's answer on its way, until the lease of its refresh ran out", aReplicaFrozen},
	{"R3_AReplicaIsKilledAfterRotating", "kill -9 of an API replica during a refresh, after the upstream had rotated", killedAfterRotating},
	{"R3_AReplicaIsKilledBeforeRotating", "kill -9 of an API replica during a refresh, before the upstream had rotated", killedBeforeRotating},
	{"R4_ReplicasDisagreeAboutTheTime", "two replicas whose clocks are two minutes apart refresh and delete", clocksDisagree},
	{"D4_UpstreamFails", "upstream: a burst of 500s on revocation", upstreamFails},
	{"D6_UpstreamRevokesSlowly", "upstream: 1.5 s for each revocation call", upstreamRevokesSlowly},
	{"S3_UpstreamAsksForSeconds", "upstream: 429 with Retry-After in seconds, on revocation and refresh", upstreamAsksForSeconds},
	{"S3_UpstreamAsksForADate", "upstream: 429 with Retry-After as a date, on revocation and refresh", upstreamAsksForADate},
	{"R8_UpstreamAnswersHTML", "upstream: 502 with HTML, on revocation and refresh", upstreamAnswersHTML},
	{"R2_UpstreamHangs", "upstream: hangs, on revocation and refresh", upstreamHangs},
	{"R2_UpstreamIsSlow", "upstream: 11 s for each token call, 2 replicas, 20 callers", upstreamIsSlow},
	{"R3_UpstreamResets", "upstream: connection reset after rotating", upstreamResets},
	{"S1_UpstreamRedirects", "upstream: a redirect on the token endpoint", upstreamRedirects},
	{"R5_TheSecretIsWrongForAnHour", "upstream: takes our client secret for wrong for an hour, and then for right", secretIsWrongForAnHour},
	{"R5_TheSecretIsChangedUpstream", "upstream: the client secret is changed, and later here too", secretIsChanged},
	{"D1_ReconnectedBeforeTheTombstone", "disconnect, 429, consent again, then the tombstone runs", reconnected},
	{"D1_TheProviderIsMadeAgain", "a provider made again with the same client while the old one is deleted", providerIsMadeAgain},
	{"D1_ACallbackDuringARevocation", "a code exchanged before an older grant of the same account is revoked whole, and owned after", callbackDuringARevocation},
	{"D2_ACallbackAfterTheLastSlice", "a callback that lands between the last slice and completion", callbackAfterTheLastSlice},
	{"K2_TheKeysetIsMissing", "started without the keyset, and with another one, beside a full database", keysetIsMissing},
	{"K3_ResealedDuringRefreshes", "keys added, promoted, re-sealed and removed during refreshes", resealed},
	{"R1_TheDiskIsFull", "disk full under SQLite, before and during refreshes", diskIsFull},
}
