package simulation

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mutant is a fault that a test puts into grantd, to see that the invariants notice it. In
// the place of the snippet comes the replacement, in which ON is true while the mutant is on.
type mutant struct {
	name        string
	file        string // from the root of the module
	function    string // a method as Type.name
	snippet     string // found in it exactly once
	replacement string
	seed        uint64 // one that noticed it lately; tried first
	slow        string // what it takes beyond every run of all tests, and when it was noticed last; "" where such a run is enough
}

// mutants are all of them. Their number is their place, beginning with 1.
var mutants = []mutant{
	{"a save is not fenced by the generation", "store/credentials.go", "saveTokens",
		`AND generation = ?", append(`, `AND (generation = ? OR "+map[bool]string{true: "TRUE", false: "FALSE"}[ON]+")", append(`, 0, ""},
	{"a refresh does not wait for the lease of another", "store/credentials.go", "Store.LeaseForRefresh",
		`(c.lease_until IS NULL OR `, "(c.lease_until IS NULL OR `+map[bool]string{true: \"TRUE\", false: \"FALSE\"}[ON]+` OR ", 0, ""},
	{"a lease for a refresh is over at once", "store/credentials.go", "Store.LeaseForRefresh",
		`s.in(lease)`, `s.in(map[bool]time.Duration{true: 0, false: lease}[ON])`, 6, ""},
	{"a revocation takes the credential from a refresh", "store/credentials.go", "Store.LeaseForRevocation",
		`lease_until <= ? OR lease_owner = ?", s.now(), owner`, `lease_until <= ? OR lease_owner = ? OR ?", s.now(), owner, ON`, 0, ""},
	{"the items of a job take their credentials from refreshes", "store/items.go", "Store.LeaseItemCredentials",
		`"lease_until IS NULL OR lease_until <= ?", s.now()`, `"lease_until IS NULL OR lease_until <= ? OR ?", s.now(), ON`, 0, ""},
	{"a lease is given back without a trace of the attempt before", "store/credentials.go", "Store.leaseOver",
		`return gorm.Expr(`, `if ON {
		return gorm.Expr("NULL")
	}
	return gorm.Expr(`, 100, ""},
	{"a call has all of its time from when it is sent", "broker/refresh.go", "Service.callRefresh",
		`left := s.timing.TokenCall - time.Since(asked)`, `left := s.timing.TokenCall - time.Since(asked)
	if ON {
		left = s.timing.TokenCall
	}`, 0, ""},
	{"a save that is tried again knows nothing of the first try", "broker/refresh.go", "Service.lostRace",
		`now.SavedBy == attempt || again`, `now.SavedBy == attempt && !ON || again && !ON`, 44, ""},
	{"tokens are given up when they cannot be saved at once", "broker/complete.go", "Service.untilSaved",
		`if err == nil || ruled(err) {`, `if err == nil || ruled(err) || ON {`, 0, ""},
	{"a replaced pair is refreshed, whoever spends it", "broker/link.go", "Service.insertTombstone",
		`if was.spent {`, `if was.spent && !ON {`, 0, ""},
	{"a failure that passes ends the grant", "broker/verdicts.go", "Service.judged",
		`t := c.judge(said, s.timing)`, `t := c.judge(said, s.timing)
	if ON && said == saysNotNow {
		t = transition{reason: "unavailable"}
	}`, 0, ""},
	{"a lost answer ends the grant", "broker/verdicts.go", "classify",
		`case up.Ambiguous:`, `case ON && up.Ambiguous:
		return saysEnded
	case up.Ambiguous:`, 0, ""},
	{"no sweep looks for unknown outcomes", "broker/ahead.go", "Service.sweepRefreshes",
		`err := errors.Join(err1, err2, err3)`, `err := errors.Join(err1, err2, err3)
	if ON {
		ambiguous = nil
	}`, 0, ""},
	{"no sweep looks for jobs", "broker/sweep.go", "Service.sweepJobs",
		`rung, err := s.store.RingDueJobs(ctx, s.timing.Resweep, sweepBatch)`, `rung, err := s.store.RingDueJobs(ctx, s.timing.Resweep, sweepBatch)
	if ON {
		rung = nil
	}`, 0, ""},
	{"no sweep looks for tombstones", "broker/sweep.go", "Service.sweepTombstones",
		`if err != nil || len(ids) == 0 {`, `if err != nil || len(ids) == 0 || ON {`, 0, ""},
	{"tokens of a provider that is off are served", "broker/token.go", "inForce",
		`case l.Status() != models.AuthorizationInvalidProviderState:`, `case ON || l.Status() != models.AuthorizationInvalidProviderState:`, 0, ""},
	{"tokens of an authorization that was unlinked are served", "broker/access.go", "mayHave",
		`err := maySee(c, a)`, `err := maySee(c, a)
	if ON {
		err = nil
	}`, 0, ""},
	{"who waited for a refresh is not judged again", "broker/token.go", "Service.freshest",
		`err = usable(c, &l)`, `if err = usable(c, &l); ON {
			err = nil
		}`, 8, ""},
	{"a token is served whether or not it lives", "broker/token.go", "Service.freshest",
		`if !isDue(&l, minTTL) {`, `if ON || !isDue(&l, minTTL) {`, 0, ""},
	{"a living token is served while its refresh runs", "broker/token.go", "Service.refreshKillsAccess",
		`return !ok || t.RefreshKillsAccess`, `return (!ok || t.RefreshKillsAccess) && !ON`, 0, ""},
	{"a deletion leaves the provider active", "broker/deletion.go", "Service.deletionJob",
		`p.Status, p.DeleteJobID = models.ProviderDeleted, &j.ID`, `p.DeleteJobID = &j.ID
	if !ON {
		p.Status = models.ProviderDeleted
	}`, 0, ""},
	{"a deletion ends with items pending", "broker/deletion.go", "Service.finishDeletion",
		`err != nil || pending || underWay > 0 || untried > 0`, `err != nil || !ON && (pending || underWay > 0 || untried > 0)`, 0, ""},
	{"the total of a deletion is what it began with", "broker/deletion.go", "Service.finishDeletion",
		`settled != j.Total {`, `settled != j.Total && !ON {`, 0, ""},
	{"a disconnect unlinks nothing", "broker/disconnect.go", "Service.unlink",
		`unlinked, err := tx.Unlink(ctx, id)`, `unlinked, err := ON, error(nil)
		if !ON {
			unlinked, err = tx.Unlink(ctx, id)
		}`, 0, ""},
	{"an outcome is written no matter which process has the lease", "store/items.go", "Store.settleGroup",
		`WHERE item_lease = ? AND outcome IS NULL AND id IN `, `WHERE (item_lease = ? OR ` + "`+map[bool]string{true: \"TRUE\", false: \"FALSE\"}[ON]+`" + `) AND outcome IS NULL AND id IN `, 0, ""},
	{"an outcome is counted twice", "store/items.go", "Store.CountSettled",
		`gorm.Expr(column+" + ?", n)`, `gorm.Expr(column+" + ?", n*map[bool]int{true: 2, false: 1}[ON])`, 0, ""},
	{"a refused revocation is revoked", "broker/revoke.go", "batch.judge",
		`if err != nil {`, `if ON && err != nil {
		return settled(models.OutcomeRevoked, "")
	}
	if err != nil {`, 194, "1m, 2026-12-01"},
	{"nobody looks whether a newer consent lives on the grant", "broker/revoke.go", "batch.scopeOf",
		`if own || other {`, `if (own || other) && !ON {`, 47, ""},
	{"a grant is revoked without its lease", "broker/revoke.go", "batch.scopeOf",
		`if !b.leased[key] {`, `if !b.leased[key] && !ON {`, 0, ""},
	{"a consent becomes live without the lease of its grant", "broker/link.go", "Service.link",
		`keys, owner := s.grantKeys(a), newID()`, `keys, owner := s.grantKeys(a), newID()
	if ON {
		keys = nil
	}`, 0, ""},
	{"a revocation is sent after its lease", "broker/revoke.go", "batch.revoke",
		`if time.Until(b.until) < b.s.timing.RevokeCall {`, `if time.Until(b.until) < b.s.timing.RevokeCall && !ON {`, 8, ""},
	{"a user who leaves keeps the links", "store/user_revocations.go", "Store.RevokeUser",
		`// Not before what is there`, `if ON {
			return nil
		}
		// Not before what is there`, 0, ""},
	{"what another process has refreshed is refreshed again", "broker/refresh.go", "Service.flightOf",
		`return s.refreshOnce(own, seen, due, paid)`, `if ON {
			due = func(l models.Linked) bool { return l.MayRefresh() }
		}
		return s.refreshOnce(own, seen, due, paid)`, 0, ""},
	{"tokens of somebody else are kept", "broker/check.go", "Service.noteCheck",
		`if s.isAnother(ctx, l, said.Account) {`, `if s.isAnother(ctx, l, said.Account) && !ON {`, 0, ""},
}

// mutantsOnPostgres are those that a play on SQLite, with its one transaction at a time, cannot
// notice. Their numbers go on from those of mutants.
var mutantsOnPostgres = []mutant{
	{"a provider that a transaction decides about is not locked", "store/providers.go", "Store.LockProvider",
		`return lockRow`, `if ON {
		unlocked := *s
		unlocked.dialect.lock = ""
		s = &unlocked
	}
	return lockRow`, 0, ""},
}

// mutantPackage is written into the overlay only. It says which mutant is on in a process.
const mutantPackage = `// Package mutant says which mutant is on.
package mutant

import "os"

var on = os.Getenv("GRANTD_MUTANT")

// On reports whether the mutant with this number is on.
func On(n string) bool { return on == n }
`

const module = "github.com/grantd/grantd"

// writeOverlay writes every mutated file into a folder, and the overlay for go build beside
// them. It fails for a snippet that is not found exactly once in its function.
func writeOverlay(root, folder string) (overlay string, err error) {
	edits := map[string][]mutation{}
	for i, m := range slices.Concat(mutants, mutantsOnPostgres) {
		source, err := os.ReadFile(filepath.Join(root, m.file))
		if err != nil {
			return "", err
		}
		from, to, err := bodyOf(source, m.function)
		if err != nil {
			return "", fmt.Errorf("mutant %d, %s: %w", i+1, m.name, err)
		}
		if n := strings.Count(string(source[from:to]), m.snippet); n != 1 {
			return "", fmt.Errorf("mutant %d, %s: the snippet is %d times in %s of %s, and must be there once", i+1, m.name, n, m.function, m.file)
		}
		at := from + strings.Index(string(source[from:to]), m.snippet)
		edits[m.file] = append(edits[m.file], mutation{i + 1, at, m})
	}
	replace := map[string]string{}
	add := func(name, text string) error {
		to := filepath.Join(folder, strings.ReplaceAll(name, "/", "_"))
		replace[filepath.Join(root, name)] = to
		return os.WriteFile(to, []byte(text), 0o600)
	}
	if err := add("brokertest/simulation/mutant/mutant.go", mutantPackage); err != nil {
		return "", err
	}
	for file, all := range edits {
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		if err := add(file, mutated(string(source), all)); err != nil {
			return "", err
		}
	}
	encoded, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(folder, "overlay.json")
	return overlay, os.WriteFile(overlay, encoded, 0o600)
}

// mutation is a mutant at its place in a file.
type mutation struct {
	number, at int
	mutant
}

// mutated is a file with all its mutants. Of two in one place the second is put into what
// the first leaves in place: there both have the same snippet.
func mutated(source string, all []mutation) string {
	for _, m := range all {
		// Snippets before it may have grown: it is looked for again, from its function on.
		from := strings.Index(source, m.anchor())
		at := from + strings.Index(source[from:], m.snippet)
		on := "mutant.On(" + strconv.Quote(strconv.Itoa(m.number)) + ")"
		source = source[:at] + strings.ReplaceAll(m.replacement, "ON", on) + source[at+len(m.snippet):]
	}
	before, after, _ := strings.Cut(source, "\nimport (\n")
	return before + "\nimport (\n\t\"" + module + "/brokertest/simulation/mutant\"\n" + after
}

// anchor is how the function of a mutant begins.
func (m mutant) anchor() string {
	receiver, name, method := strings.Cut(m.function, ".")
	if !method {
		return "\nfunc " + m.function + "("
	}
	short := map[string]string{"Service": "s *Service", "Store": "s *Store", "batch": "b *batch"}[receiver]
	return "\nfunc (" + short + ") " + name + "("
}

// bodyOf finds a function.
func bodyOf(source []byte, function string) (from, to int, err error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "", source, 0)
	if err != nil {
		return 0, 0, err
	}
	receiver, name, method := strings.Cut(function, ".")
	if !method {
		receiver, name = "", function
	}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != name || receiverOf(f) != receiver {
			continue
		}
		return files.Position(f.Pos()).Offset, files.Position(f.End()).Offset, nil
	}
	return 0, 0, fmt.Errorf("there is no function %s", function)
}

func receiverOf(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return ""
	}
	if star, ok := f.Recv.List[0].Type.(*ast.StarExpr); ok {
		if id, ok := star.X.(*ast.Ident); ok {
			return id.Name
		}
	}
	return ""
}
