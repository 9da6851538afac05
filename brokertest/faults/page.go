package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

const intro = `# Faults

What grantd was put through, lastly on %s, on %s: real grantd processes on real PostgreSQL and Redis,
all on one machine, with the test authorization server as the upstream. ` + "`make faults`" + ` plays all rows at full size and writes this
page; each row is also a test. Rows that a run leaves out stay as they were.

- *Size*: how the row was measured. ` + "`full`" + ` has 10,000 authorizations in deletions, ` + "`test`" + ` 300 to 600.
- *Lost*: authorizations whose person would have to consent again although they need not, and grants that were left
  upstream. An answer that was lost after the upstream had rotated cannot be retrieved by anybody; such a row says so.
- *Spent twice*: refresh tokens that were sent again after their outcome had been saved, or while another attempt might
  still have been running (R3). The one replay of an attempt whose outcome nobody knows is neither.
- *Seconds to recover*: from the end of the fault, or from the fault where it has no end (a kill), until everything that
  had been asked for was done. What was left of a deletion is in it, and so are leases: 25 s for items, 40 s for a refresh.

`

// found is what the simulation found. Its rows are written by hand, as each comes with a
// change of the code.
const found = `
## Found by seeds

What ` + "`" + `make simulate` + "`" + ` found ([proof](proof.md)), and what came of it. A seed plays something else once the code has changed. 1, 39, 57,
186, 1115, 42124, 98454, 51665, 53662, 200375, 303207, 308397, 309528, 501638 and the row that says so have become tests with a script. 1002 and 1542 have mutants, which are noticed within a minute of seeds or less. The
row of the model has become part of the statement that takes a lease.

| seed | what happened | what was mended |
| --- | --- | --- |
| 1 | The row could not be read again after its refresh lease was taken. The lease was given back to no credential, so that nobody refreshed for 40 s, and the next attempt counted as a replay. | The lease is given back to the credential that it was taken on. |
| 186 | A refresh with an unknown outcome was followed by the revocation of the access token. The lease that this gave back was the time by which sweeps find such attempts, so none found it any more. | A lease that is given back on such a credential ends now instead of going without a trace. |
| 39 | A deletion counted an authorization whose disconnect, or whose user's REVOKE_USER job, was under way and settled it first. The outcomes added up to less than the total for ever. | The total of a deletion that ends is what it settled. |
| 1542 | A revocation that needed a living access token waited for another replica's refresh for longer than its leases last. It then deleted the whole grant, on which the person had consented again meanwhile. | No revocation is sent when less of the lease is left than a call may take. |
| 1115 | A consent replaced tokens that a refresh was spending just then. The replaced pair was revoked with a refresh of its own, which sent the same refresh token again. | A pair whose refresh token an attempt may have spent is never refreshed. |
| 1002 | The acknowledgement of a save was lost, and another replica had refreshed the saved tokens before the save was tried again. The second try took its tokens for those of a lost race and had them revoked, although the tokens in use descend from them. | A save that is tried again and finds tokens two generations on revokes nothing. |
| 57 | A refresh was under way when a check found that the tokens are another account's. Its save ended that verdict, and the authorization was in use again without a consent. | A save that no consent is behind keeps that verdict. |
| 58 | A check that found a token rejected, and took long, wrote that it had expired just now, although its time was over long before: the token's expiry and its refresh moved to later. | Neither is moved to later. |
| 42124, 98454 | A caller's refresh failed in its own database after another process had begun one that ends the access token. The caller was served that token at once. | The caller waits for the other refresh as well, as long as it would have waited for its own. |
| 51863 | A provider was in trouble while the only authorization of it that was due had a refresh with an unknown outcome. Each sweep put that off, a little longer than the provider waited for its next probe, so that nobody ever asked whether the trouble was over. The same for tokens that lie idle. | What was put off because of the trouble may probe. |
| 51665 | On SQLite a row was judged by the time before it was read. Who joined a refresh whose last read waited for a connection was served a token whose time was over. | It is judged by the time after. |
| 53662 | The acknowledgement of a save was lost. Before it was tried again, another replica refreshed the saved tokens to revoke them, and the authorization went. The second try took its tokens for those of nobody, and they were refreshed once more to be revoked. | Tokens that an earlier try may have saved are revoked without a refresh. |
| 200375 | A refresh token had been refused and the person consented again. To revoke the access token beside it, the replaced pair was refreshed with that refresh token once more. | What was refused is not used to refresh. |
| 303207 | By the database's clock an access token lived a little longer, and by the upstream's it was over. The upstream did not know it, which was taken for already revoked, and the grant lived on. | A token that is over within 30 s is refreshed before it is used to revoke a grant, and its rejection proves nothing. |
| 308397 | A refresh that was slow to learn that it had failed noted that after its lease had run out, and ended the lease that the revocation of a token had taken since. Another refresh could begin beside that. | The lease of somebody else stays as it is. |
| 309528 | A process took the lease on a grant to make a consent live, and paused for longer than it lasts. Another began to revoke the whole grant. The consent became live all the same, and went with the grant. | The transaction that makes it live holds the lease, or takes it anew. |
| 501638 | A check found that the tokens are another account's while a refresh was under way that the upstream refused. That verdict was replaced by the refusal's, which a new client secret ends. | No other verdict replaces that one. |
| (scripted) | After slow statements between the lease and its call, the call outlived the lease, and another replica sent the same refresh token meanwhile. | The time of a call counts from when its lease was asked for. |
| (model) | A save that was accepted after its lease had run out ended the lease of the next attempt. That one did not notice, and sent a refresh token that a third attempt was sending. | An attempt that reads the row again and does not find itself there gives up. |
`

// writePage writes the page, with the rows that were played now and, for the
// others, what the page said before.
func writePage(file string, lines []line, where string) error {
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(file, []byte(markdown(lines, rowsOf(string(before)), where)), 0o644)
}

// markdown is the page: the rows in their order, each as it was played, or as it
// was told before.
func markdown(lines []line, before map[string]string, where string) string {
	told := map[string]string{}
	for what, row := range before {
		told[what] = row
	}
	for _, l := range lines {
		told[l.what] = tableRow(l.cells())
	}
	var b strings.Builder
	fmt.Fprintf(&b, intro, time.Now().UTC().Format(time.DateOnly), where)
	b.WriteString(tableRow(head) + tableRow([]string{"---", "--:", "--:", "--:", "---", "---"}))
	for _, r := range rows {
		b.WriteString(told[r.what])
	}
	b.WriteString(found)
	return b.String()
}

func tableRow(cells []string) string {
	escaped := make([]string, len(cells))
	for i, c := range cells {
		escaped[i] = strings.ReplaceAll(c, "|", "\\|")
	}
	return "| " + strings.Join(escaped, " | ") + " |\n"
}

// rowsOf finds the rows of a page by what was done.
func rowsOf(page string) map[string]string {
	found := map[string]string{}
	for text := range strings.Lines(page) {
		if what, _, ok := strings.Cut(strings.TrimPrefix(text, "| "), " | "); ok && strings.HasPrefix(text, "| ") {
			found[what] = text
		}
	}
	return found
}
