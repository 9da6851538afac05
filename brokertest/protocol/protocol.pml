/* Generated from brokertest/protocol/table.go by go generate. Do not edit. */
#define DONE 2
#define FAILED 3
#define LINKED 0
#define NONE 0
#define RUNNING 1
#define SETTLED 2
#define TO_REVOKE 1
#define AT_idle 0
#define AT_read 1
#define AT_ready 2
#define AT_issuing 3
#define AT_refusing 4
#define AT_denied 5
#define AT_failed 6
#define AT_answered 7
#define AT_refused 8
#define AT_unknown 9
#define AT_claimed 10
#define AT_held 11
#define AT_seen 12
#define AT_revoked 13
#define AT_borrowed 14
#define AT_exchanged 15
byte gen; /* the credential's generation (R1) */
byte tok; /* the refresh token in the credential */
byte holder; /* the process that the credential's lease was given to last, 0 for none (R2) */
byte running; /* whether that lease has not run out */
byte attempt; /* the attempt whose outcome is not known, 0 for none (R3) */
byte expired; /* whether there is a verdict that the person must consent again (R5) */
byte gone; /* whether the credential was deleted */
byte item; /* what is to become of the authorization: LINKED, TO_REVOKE, SETTLED, FAILED (D4) */
byte claim; /* the process that revokes it, 0 for none (D6) */
byte claiming; /* whether its claim has not run out */
byte outcomes; /* how many outcomes were written */
byte unproved; /* whether the outcome claims no revocation at the upstream */
byte lefts; /* how many tokens are kept only to be revoked */
byte job; /* the deletion of the provider: NONE, RUNNING, DONE (D2) */
byte codes; /* consents whose code was exchanged, and that have no authorization yet */
byte issued; /* how many refresh tokens the upstream has issued: their numbers count from 1 */
byte ok[6]; /* of a token: the upstream has not replaced this token */
byte chain[6]; /* of a token: the consent that it descends from: the first token of it */
byte ended[6]; /* of a token: by chain: the upstream has revoked it */
byte brought[6]; /* of a token: the token that it was exchanged for, 0 for none */
byte calls[6]; /* of a token: how many requests with it are under way */
byte kept[6]; /* of a token: it was saved in the credential */
byte left[6]; /* of a token: it is kept only to be revoked */
byte received[6]; /* of a token: grantd had it in an answer */
byte lost[6]; /* of a token: the only process that knew it was killed */
byte my_gen[8]; /* of a process: the generation that it read */
byte my_before[8]; /* of a process: the attempt whose outcome was unknown when it took the lease */
byte my_tok[8]; /* of a process: the refresh token that it read */
byte my_got[8]; /* of a process: the refresh token that it was given */
byte my_calling[8]; /* of a process: whether its request is under way */
byte my_time[8]; /* of a process: whether its call would end before its lease */
byte my_stale[8]; /* of a process: what its refresh token brought was saved before it read that token (a proof's own) */
byte loc[8]; /* the state of a process */
byte refreshes; /* that may still happen */
byte claims; /* that may still happen */
byte consents; /* that may still happen */
byte lost_answers; /* that may still happen */
byte oddities; /* that may still happen */
proctype refresh(byte me) {
	do
	:: d_step { (loc[me] == AT_idle) && (!gone) && refreshes > 0 -> my_gen[me] = gen; my_before[me] = attempt; loc[me] = AT_read; refreshes = refreshes - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_read) && (!gone && gen == my_gen[me] && attempt == my_before[me] && !running) -> holder = me; running = 1; attempt = me; my_time[me] = 1; my_tok[me] = tok; my_stale[me] = kept[brought[tok]]; loc[me] = AT_ready; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_read) && (!gone && (gen != my_gen[me] || attempt != my_before[me] || running)) -> my_gen[me] = gen; my_before[me] = attempt; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_ready) && (!gone && attempt == me && holder == me) -> attempt = my_before[me]; holder = 0; running = 0; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_ready) && (gone || attempt != me || holder != me) -> loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_ready) && (my_time[me] && ok[my_tok[me]] && !ended[chain[my_tok[me]]]) -> assert(!my_stale[me]); assert(calls[my_tok[me]] == 0); my_calling[me] = 1; calls[my_tok[me]] = calls[my_tok[me]] + 1; issued = issued + 1; ok[my_tok[me]] = 0; ok[issued] = 1; chain[issued] = chain[my_tok[me]]; brought[my_tok[me]] = issued; my_got[me] = issued; loc[me] = AT_issuing; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_ready) && (my_time[me] && (!ok[my_tok[me]] || ended[chain[my_tok[me]]])) -> assert(!my_stale[me]); assert(calls[my_tok[me]] == 0); my_calling[me] = 1; calls[my_tok[me]] = calls[my_tok[me]] + 1; loc[me] = AT_refusing; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_ready) && (my_time[me]) && oddities > 0 -> loc[me] = AT_denied; oddities = oddities - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_ready) && oddities > 0 -> loc[me] = AT_failed; oddities = oddities - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_issuing) -> my_calling[me] = 0; calls[my_tok[me]] = calls[my_tok[me]] - 1; received[my_got[me]] = 1; loc[me] = AT_answered; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_refusing) -> my_calling[me] = 0; calls[my_tok[me]] = calls[my_tok[me]] - 1; loc[me] = AT_refused; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_ready || loc[me] == AT_issuing || loc[me] == AT_refusing) && lost_answers > 0 -> calls[my_tok[me]] = calls[my_tok[me]] - my_calling[me]; my_calling[me] = 0; loc[me] = AT_unknown; lost_answers = lost_answers - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_answered) && (!gone && gen == my_gen[me]) -> gen = gen + 1; kept[my_got[me]] = 1; tok = my_got[me]; my_got[me] = 0; holder = 0; running = 0; attempt = 0; expired = 0; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_answered) && ((gone || gen != my_gen[me]) && job != DONE) -> left[my_got[me]] = 1; lefts = lefts + 1; my_got[me] = 0; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_answered) && (job == DONE) -> my_got[me] = 0; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_answered) && (!gone && gen == my_gen[me] && attempt == me) && oddities > 0 -> expired = 1; chain[my_got[me]] = my_got[me]; left[my_got[me]] = 1; lefts = lefts + 1; my_got[me] = 0; attempt = 0; holder = (running && holder != me -> holder : 0); running = (holder == 0 -> 0 : running); loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; oddities = oddities - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_refused) && (!gone && gen == my_gen[me] && attempt == me) -> expired = 1; attempt = 0; holder = (running && holder != me -> holder : 0); running = (holder == 0 -> 0 : running); loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_denied || loc[me] == AT_refused) && (!gone && gen == my_gen[me] && attempt == me) -> attempt = 0; holder = (running && holder != me -> holder : 0); running = (holder == 0 -> 0 : running); loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_denied || loc[me] == AT_refused) && (!gone && gen == my_gen[me] && attempt == me && my_before[me] != 0) -> holder = (running && holder != me -> holder : me); running = (holder == me -> 0 : running); loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_failed) && (!gone && gen == my_gen[me] && attempt == me && my_before[me] == 0) -> attempt = 0; holder = (running && holder != me -> holder : 0); running = (holder == 0 -> 0 : running); loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_failed) && (!gone && gen == my_gen[me] && attempt == me && my_before[me] != 0) -> holder = (running && holder != me -> holder : me); running = (holder == me -> 0 : running); loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_unknown) && (!gone && gen == my_gen[me] && attempt == me) -> holder = (running && holder != me -> holder : me); running = 1; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_refused || loc[me] == AT_denied || loc[me] == AT_failed || loc[me] == AT_unknown) && (gone || gen != my_gen[me] || attempt != me) -> loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (running && holder == me && !my_calling[me]) -> running = 0; my_time[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (claiming && claim == me) -> claiming = 0; my_time[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	od
}
proctype revocation(byte me) {
	do
	:: d_step { (loc[me] == AT_idle) && (item == TO_REVOKE && !claiming) && claims > 0 -> claim = me; claiming = 1; my_time[me] = 1; loc[me] = AT_claimed; claims = claims - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_claimed || loc[me] == AT_held || loc[me] == AT_seen) && (!gone && (!running || holder == me)) -> holder = me; running = 1; loc[me] = AT_held; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_held) && (!gone) -> my_gen[me] = gen; my_tok[me] = tok; loc[me] = AT_seen; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_held || loc[me] == AT_seen || loc[me] == AT_revoked) && (!gone && holder == me) && oddities > 0 -> holder = 0; running = 0; loc[me] = AT_claimed; oddities = oddities - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_seen) && (my_time[me]) -> ended[chain[my_tok[me]]] = 1; loc[me] = AT_revoked; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_revoked) && (item == TO_REVOKE && claim == me && !gone && gen == my_gen[me]) -> assert(outcomes == 0); item = SETTLED; outcomes = outcomes + 1; gone = 1; claim = 0; claiming = 0; holder = 0; running = 0; attempt = 0; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_seen) && (item == TO_REVOKE && claim == me && !gone && gen == my_gen[me]) && oddities > 0 -> assert(outcomes == 0); item = SETTLED; unproved = 1; outcomes = outcomes + 1; gone = 1; claim = 0; claiming = 0; holder = 0; running = 0; attempt = 0; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; oddities = oddities - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_claimed || loc[me] == AT_held || loc[me] == AT_seen || loc[me] == AT_revoked) && (item == TO_REVOKE && claim == me && !gone) && oddities > 0 -> item = FAILED; holder = (holder == me -> 0 : holder); running = (holder == 0 -> 0 : running); claim = 0; claiming = 0; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; oddities = oddities - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_claimed || loc[me] == AT_held || loc[me] == AT_seen || loc[me] == AT_revoked) -> holder = (holder == me && !gone -> 0 : holder); running = (holder == 0 -> 0 : running); claiming = (claim == me -> 0 : claiming); claim = (claim == me -> 0 : claim); loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_idle) && (left[1]) -> assert(item != LINKED || gone || chain[1] != chain[tok]); ended[chain[1]] = 1; left[1] = 0; lefts = lefts - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_idle) && (left[2]) -> assert(item != LINKED || gone || chain[2] != chain[tok]); ended[chain[2]] = 1; left[2] = 0; lefts = lefts - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_idle) && (left[3]) -> assert(item != LINKED || gone || chain[3] != chain[tok]); ended[chain[3]] = 1; left[3] = 0; lefts = lefts - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_idle) && (left[4]) -> assert(item != LINKED || gone || chain[4] != chain[tok]); ended[chain[4]] = 1; left[4] = 0; lefts = lefts - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_idle) && (left[5]) -> assert(item != LINKED || gone || chain[5] != chain[tok]); ended[chain[5]] = 1; left[5] = 0; lefts = lefts - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (running && holder == me && !my_calling[me]) -> running = 0; my_time[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (claiming && claim == me) -> claiming = 0; my_time[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	od
}
proctype check(byte me) {
	do
	:: d_step { (loc[me] == AT_idle) && (!gone && !running) && oddities > 0 -> holder = me; running = 1; loc[me] = AT_borrowed; oddities = oddities - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_borrowed) && (!gone && holder == me) && oddities > 0 -> holder = 0; running = 0; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; oddities = oddities - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_borrowed) && (!gone && holder == me) -> expired = 1; ended[chain[tok]] = 1; holder = 0; running = 0; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (running && holder == me && !my_calling[me]) -> running = 0; my_time[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (claiming && claim == me) -> claiming = 0; my_time[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	od
}
proctype consent(byte me) {
	do
	:: d_step { (loc[me] == AT_idle) && (job != DONE) && consents > 0 -> issued = issued + 1; ok[issued] = 1; chain[issued] = issued; received[issued] = 1; my_got[me] = issued; codes = codes + 1; loc[me] = AT_exchanged; consents = consents - 1; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_exchanged) && (item == LINKED && !gone) -> left[tok] = 1; lefts = lefts + 1; gen = gen + 1; tok = my_got[me]; kept[tok] = 1; holder = 0; running = 0; attempt = 0; expired = 0; codes = codes - 1; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_exchanged) && (item != LINKED || gone) -> left[my_got[me]] = 1; lefts = lefts + 1; codes = codes - 1; loc[me] = AT_idle; my_gen[me] = 0; my_before[me] = 0; my_tok[me] = 0; my_got[me] = 0; my_calling[me] = 0; my_time[me] = 0; my_stale[me] = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	od
}
proctype deletion(byte me) {
	do
	:: d_step { (loc[me] == AT_idle) && (item == LINKED) -> item = TO_REVOKE; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_idle) && (job == NONE) -> job = RUNNING; item = (item == LINKED -> TO_REVOKE : item); assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_idle) && (item == FAILED) -> item = TO_REVOKE; outcomes = 0; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	:: d_step { (loc[me] == AT_idle) && (job == RUNNING && item == SETTLED && codes == 0 && lefts == 0) -> assert(unproved || !received[1] || lost[1] || !ok[1] || ended[chain[1]]); assert(unproved || !received[2] || lost[2] || !ok[2] || ended[chain[2]]); assert(unproved || !received[3] || lost[3] || !ok[3] || ended[chain[3]]); assert(unproved || !received[4] || lost[4] || !ok[4] || ended[chain[4]]); assert(unproved || !received[5] || lost[5] || !ok[5] || ended[chain[5]]); job = DONE; assert(!expired || gone || !ok[tok] || ended[chain[tok]]); }
	od
}
proctype fate() {
	if
	:: d_step { loc[1] != AT_idle || loc[3] != AT_idle ->
		 calls[my_tok[1]] = calls[my_tok[1]] - my_calling[1]; my_calling[1] = 0; my_time[1] = 0; lost[my_got[1]] = 1; my_got[1] = 0; loc[1] = AT_idle; my_gen[1] = 0; my_before[1] = 0; my_tok[1] = 0; my_got[1] = 0; my_calling[1] = 0; my_time[1] = 0; my_stale[1] = 0;
		 calls[my_tok[3]] = calls[my_tok[3]] - my_calling[3]; my_calling[3] = 0; my_time[3] = 0; lost[my_got[3]] = 1; my_got[3] = 0; loc[3] = AT_idle; my_gen[3] = 0; my_before[3] = 0; my_tok[3] = 0; my_got[3] = 0; my_calling[3] = 0; my_time[3] = 0; my_stale[3] = 0;
	}
	fi
}
init { d_step {
	tok = 1;
	issued = 1;
	ok[1] = 1;
	chain[1] = 1;
	kept[1] = 1;
	received[1] = 1;
	}
	atomic {
	if
	:: d_step {
		refreshes = 2;
		claims = 1;
		consents = 1;
		lost_answers = 1;
		oddities = 0;
	}
	:: d_step {
		refreshes = 1;
		claims = 2;
		consents = 1;
		lost_answers = 1;
		oddities = 0;
	}
	:: d_step {
		refreshes = 3;
		claims = 1;
		consents = 0;
		lost_answers = 1;
		oddities = 0;
	}
	:: d_step {
		refreshes = 1;
		claims = 1;
		consents = 1;
		lost_answers = 1;
		oddities = 1;
	}
	:: d_step {
		refreshes = 2;
		claims = 0;
		consents = 1;
		lost_answers = 1;
		oddities = 1;
	}
	fi;
	run refresh(1); run refresh(2); run revocation(3); run revocation(4); run consent(5); run deletion(6); run check(7); run fate()
	}
}
