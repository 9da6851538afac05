// Package simulation plays the real broker on the real store, as several replicas in one
// process, under a scheduler that a seed decides for. Whatever could run side by side stops
// at a gate: every statement, every request to an upstream, every task. The scheduler lets
// one go on at a time, so that the interleaving belongs to the seed and can be played again
// from its number. Time is that of a testing/synctest bubble.
//
//	gates.go     where goroutines stop, and how one is told to go on
//	stage.go     what plays are begun with, and what came of one
//	world.go     what a seed plays with: replicas, people, upstreams, and the scheduler
//	operation.go what somebody has asked for, from its beginning to its end
//	clock.go     the database's clock, which is stepped
//	image.go     the database and the grants that every play begins with
//	shared.go    the connection to SQLite that all plays share, each in a transaction of its own
//	database.go  the gate before SQL, and what is seen of the tables behind it
//	look.go      what is read of the tables after a change
//	network.go   the gate before the upstream, and what may go wrong on the way
//	replica.go   a process of grantd: started, killed, and started again
//	moves.go     what people, admins, workers and bad luck do
//	hostile.go   another organisation, and a client that the upstream refuses
//	minimise.go  the fewest moves and faults with which a seed still breaks a promise
//	counts.go    what many plays met, as docs/proof.md tells it
//	identity.go  whose tokens a row holds, where the upstream speaks of somebody else
//	ledger.go    what the upstream knows of each token
//	judge.go     the invariants
//	follow.go    what happened to each authorization, held to the table of brokertest/protocol
//	calm.go      the end of a play: no more faults, and everything must end
//	postgres.go  the same moves on PostgreSQL, in real time and with nobody in between
//
// What it cannot see is said in docs/proof.md.
package simulation
