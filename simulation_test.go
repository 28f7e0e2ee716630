package revoke_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// simRevocation is a transaction that moves an epoch and commits some time later. Times are
// microseconds of the database's clock, and of the simulation, since the two are the same.
type simRevocation struct {
	issuer    bool  // of the issuer and not of the user
	statement int64 // when the revoking statement ran
	commit    int64
	epoch     int64
}

// simLogin is a login.
type simLogin struct {
	begin      int64 // when it began, and asked for epochs or an iat where its rule wants that
	read       int64 // when it read the password
	sign       int64 // when it signed
	clockError int64 // of the issuer that signs
}

// world is one history of a user.
type world struct {
	revocations []simRevocation
	logins      []simLogin
}

// epochsAt returns the epochs that a snapshot at t shows.
func (w world) epochsAt(t int64) (e revoke.Epochs) {
	for _, r := range w.revocations {
		if r.commit <= t && r.issuer {
			e.Issuer = max(e.Issuer, r.epoch)
		} else if r.commit <= t {
			e.User = max(e.User, r.epoch)
		}
	}
	return e
}

// newWorld makes a history of some seconds: transactions that stay open for up to a second and
// a half, and of which those of one scope wait for each other, and logins that take up to a
// second and more.
func newWorld(random *rand.Rand) world {
	const second = int64(time.Second / time.Microsecond)
	start := 1_900_000_000*second + random.Int64N(second)
	var w world
	for _, issuer := range []bool{false, true} {
		free, epoch := int64(0), int64(0)
		for range 1 + random.IntN(3) {
			begin := start + random.Int64N(5*second)
			statement := max(begin, free) // waits for the row
			r := simRevocation{issuer: issuer, statement: statement, commit: statement + 1}
			if random.IntN(2) == 0 {
				r.commit += random.Int64N(3 * second / 2)
			}
			epoch = max(statement, epoch) + 1
			r.epoch = epoch
			free = r.commit
			w.revocations = append(w.revocations, r)
		}
	}
	clockErrors := []int64{0, 0, random.Int64N(600_000) - 300_000, random.Int64N(4*second) - 2*second}
	for range 12 {
		l := simLogin{begin: start - second + random.Int64N(9*second)}
		l.read = l.begin + random.Int64N(second/5)
		l.sign = l.read + random.Int64N(6*second/5)
		l.clockError = clockErrors[random.IntN(len(clockErrors))]
		w.logins = append(w.logins, l)
	}
	// The logins that matter most come right after a commit: the replacement token of a
	// password change.
	for _, r := range w.revocations {
		l := simLogin{begin: r.commit, read: r.commit + 100, sign: r.commit + 2_000}
		w.logins = append(w.logins, l)
	}
	return w
}

// simRule says what a token carries, and whether it is dead at the end, when all has committed.
type simRule struct {
	name string
	// issue returns the login as it went, since asking for an iat may have delayed it, when it
	// was stamped, and the token.
	issue func(w world, l simLogin) (simLogin, int64, revoke.Token)
	dead  func(token revoke.Token, last revoke.Epochs) bool
}

func floorSecond(t int64) int64 { return t - t%1_000_000 }

// stamped returns a token that carries t, which may have microseconds, as its iat.
func stamped(t int64) revoke.Token {
	iat := time.UnixMicro(t)
	return revoke.Token{Issuer: "i", ID: "t", Subject: "s", IssuedAt: iat, ExpiresAt: iat.Add(time.Hour)}
}

// thirdParty issues as a third party does, which stamps by its own clock when it signs. Its
// tokens are checked with this skew.
func thirdParty(skew time.Duration, stamp func(t int64) int64) func(world, simLogin) (simLogin, int64, revoke.Token) {
	return func(_ world, l simLogin) (simLogin, int64, revoke.Token) {
		token := stamped(stamp(l.sign + l.clockError))
		token.IssuerSkew = skew
		return l, l.sign, token
	}
}

// bySignature issues with the clock of the issuer when it signs.
func bySignature(stamp func(t int64, visible revoke.Epochs) int64) func(world, simLogin) (simLogin, int64, revoke.Token) {
	return func(w world, l simLogin) (simLogin, int64, revoke.Token) {
		return l, l.sign, stamped(stamp(l.sign+l.clockError, w.epochsAt(l.sign)))
	}
}

// byClaim issues with the epochs that were committed at a moment of the login.
func byClaim(moment func(simLogin) int64) func(world, simLogin) (simLogin, int64, revoke.Token) {
	return func(w world, l simLogin) (simLogin, int64, revoke.Token) {
		epochs := w.epochsAt(moment(l))
		token := stamped(l.sign + l.clockError)
		token.Epochs, token.HasEpochs = epochs, true
		return l, moment(l), token
	}
}

// judged asks the package's own verdict.
func judged(token revoke.Token, last revoke.Epochs) bool {
	v := verdictOf(token)
	v.Found(userPlace, last.User)
	v.Found(issuerPlace, last.Issuer)
	return v.Refuses(userPlace) || v.Refuses(issuerPlace)
}

// verdictOf asks whether the token is accepted.
func verdictOf(token revoke.Token) (v revoke.Verdict) {
	if _, err := v.OfToken(token); err != nil {
		panic(err)
	}
	return v
}

// presented reports whether the token was accepted before a revocation: at the very instant at
// which a revoking statement read the clock, when the token had been signed already.
func (w world) presented(l simLogin, token revoke.Token) bool {
	return slices.ContainsFunc(w.revocations, func(r simRevocation) bool {
		if r.statement < l.sign {
			return false
		}
		v := verdictOf(token)
		visible := w.epochsAt(r.statement)
		if visible.User > 0 {
			v.Found(userPlace, visible.User)
		}
		if visible.Issuer > 0 {
			v.Found(issuerPlace, visible.Issuer)
		}
		return v.Check(time.UnixMicro(r.statement)) == nil
	})
}

// issueTime asks for an iat at now, where these epochs stand.
func issueTime(epochs revoke.Epochs, now int64) (time.Time, time.Duration) {
	var v revoke.Verdict
	v.Found(userPlace, epochs.User)
	v.Found(issuerPlace, epochs.Issuer)
	return v.IssueTime(time.UnixMicro(now))
}

// latest compares an iat with both epochs by a naive rule.
func latest(dead func(iat, epoch int64) bool) func(revoke.Token, revoke.Epochs) bool {
	return func(token revoke.Token, last revoke.Epochs) bool {
		iat := token.IssuedAt.UnixMicro()
		return dead(iat, last.User) || dead(iat, last.Issuer)
	}
}

const (
	ruleClaim      = "claim, read in the snapshot of the credentials"
	ruleClaimEarly = "claim, read earlier"
	ruleIssueTime  = "iat < E, iat from IssueTime before the credentials"
	ruleThirdParty = "iat - 5 s < E, a third party rounds down"
	ruleRoundsUp   = "iat - 5 s < E, a third party rounds up"
	ruleWrongSkew  = "iat < E, a third party's clock, which is too little"
)

// simSkews are the skews of the rules for third parties, and by how much their rounding is ahead.
var simSkews = map[string]struct{ skew, rounding int64 }{
	ruleThirdParty: {revoke.DefaultIssuerSkew.Microseconds(), 0},
	ruleRoundsUp:   {revoke.DefaultIssuerSkew.Microseconds(), 1_000_000},
}

var simRules = []simRule{
	{
		"naive: iat < floor(E)",
		bySignature(func(t int64, _ revoke.Epochs) int64 { return floorSecond(t) }),
		latest(func(iat, epoch int64) bool { return iat < floorSecond(epoch) }),
	},
	{
		"naive: iat <= floor(E)",
		bySignature(func(t int64, _ revoke.Epochs) int64 { return floorSecond(t) }),
		latest(func(iat, epoch int64) bool { return iat <= floorSecond(epoch) }),
	},
	{
		"naive: iat with microseconds < E",
		bySignature(func(t int64, _ revoke.Epochs) int64 { return t }),
		latest(func(iat, epoch int64) bool { return iat < epoch }),
	},
	{
		"naive: iat < E, iat lifted to the second after E",
		bySignature(func(t int64, visible revoke.Epochs) int64 {
			return max(floorSecond(t), floorSecond(max(visible.User, visible.Issuer)+999_999))
		}),
		latest(func(iat, epoch int64) bool { return iat < epoch }),
	},
	{ruleThirdParty, thirdParty(0, floorSecond), judged},
	{ruleRoundsUp, thirdParty(0, func(t int64) int64 { return floorSecond(t + 999_999) }), judged},
	{ruleWrongSkew, thirdParty(revoke.NoIssuerSkew, floorSecond), judged},
	{
		ruleIssueTime,
		func(w world, l simLogin) (simLogin, int64, revoke.Token) {
			now := l.begin
			for {
				iat, wait := issueTime(w.epochsAt(now), now)
				if wait == 0 {
					delay := now - l.begin
					l.read, l.sign = l.read+delay, l.sign+delay
					token := stamped(iat.UnixMicro())
					token.IssuerSkew = revoke.NoIssuerSkew
					return l, now, token
				}
				now += int64((wait + time.Microsecond - 1) / time.Microsecond)
			}
		},
		judged,
	},
	{ruleClaimEarly, byClaim(func(l simLogin) int64 { return l.begin }), judged},
	{ruleClaim, byClaim(func(l simLogin) int64 { return l.read }), judged},
}

// simCount is what became of the tokens of one rule.
type simCount struct {
	// survivorsSeen were stamped before the revoking statement ran.
	mustDie, survivors, survivorsSeen int
	// mustLive logins began after every commit.
	mustLive, refused int
	// overlapped logins had a commit between their beginning and their look at the password.
	overlapped, overlapRefused int
	// presented tokens were accepted before a revocation.
	presented, presentedAlive int
	// late tokens of a third party were signed after the time for which new sign-ins are refused.
	late, lateRefused int
}

// TestSimulation runs the rules over many histories beside an oracle, and prints the table that the
// proof in the package refers to.
func TestSimulation(t *testing.T) {
	t.Parallel()
	worlds := testkit.Long(2_000, 20_000)
	counts := make([]simCount, len(simRules))
	for seed := range uint64(worlds) {
		w := newWorld(rand.New(rand.NewPCG(seed, 1)))
		last := w.epochsAt(1 << 62)
		for i, rule := range simRules {
			for _, l := range w.logins {
				l, stamp, token := rule.issue(w, l)
				dead := rule.dead(token, last)
				counts[i].add(w, l, stamp, dead)
				if naive := strings.HasPrefix(rule.name, "naive"); !naive && w.presented(l, token) {
					counts[i].presented++
					if !dead {
						counts[i].presentedAlive++
					}
				}
				if s, ok := simSkews[rule.name]; ok && l.sign >= max(last.User, last.Issuer)+s.skew-(l.clockError+s.rounding)+1_000_000 {
					counts[i].late++
					if dead {
						counts[i].lateRefused++
					}
				}
			}
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-52s %21s %21s %21s %21s %21s %21s\n", "rule",
		"must die: survive", "stamped before stmt", "must live: refused", "overlap: refused", "presented: survive", "late: refused")
	for i, rule := range simRules {
		c := counts[i]
		fmt.Fprintf(&table, "%-52s %10d: %9d %21d %10d: %9d %10d: %9d %10d: %9d %10d: %9d\n", rule.name,
			c.mustDie, c.survivors, c.survivorsSeen, c.mustLive, c.refused, c.overlapped, c.overlapRefused,
			c.presented, c.presentedAlive, c.late, c.lateRefused)
		if c.mustDie == 0 || c.mustLive == 0 || c.overlapped == 0 {
			t.Errorf("%s: the histories prove nothing: %+v", rule.name, c)
		}
	}
	t.Logf("%d histories\n%s", worlds, table.String())

	for i, rule := range simRules {
		c := counts[i]
		naive := strings.HasPrefix(rule.name, "naive")
		_, rightSkew := simSkews[rule.name]
		switch {
		case !naive && (c.presented == 0 || c.presentedAlive != 0):
			t.Errorf("%s: of %d tokens that were accepted before a revocation %d are alive", rule.name, c.presented, c.presentedAlive)
		case rightSkew && (c.survivorsSeen != 0 || c.late == 0 || c.lateRefused != 0):
			t.Errorf("%s: %+v", rule.name, c)
		case rule.name == ruleWrongSkew && c.survivorsSeen == 0:
			t.Errorf("%s: no token survives that was never presented, so the histories are too tame", rule.name)
		case naive && c.survivors == 0 && c.refused == 0:
			t.Errorf("%s: no fault was found, so the histories are too tame", rule.name)
		case rule.name == ruleClaim && (c.survivors != 0 || c.refused != 0 || c.overlapRefused != 0),
			rule.name == ruleClaimEarly && c.survivors != 0,
			rule.name == ruleIssueTime && (c.survivorsSeen != 0 || c.refused != 0):
			t.Errorf("%s: %+v", rule.name, c)
		}
	}
}

// add compares a token with the oracle: it must be dead if a revocation committed after its
// login had looked at the password, and alive if all had committed before the login began.
func (c *simCount) add(w world, l simLogin, stamp int64, dead bool) {
	mustDie := slices.ContainsFunc(w.revocations, func(r simRevocation) bool { return r.commit > l.read })
	mustLive := !slices.ContainsFunc(w.revocations, func(r simRevocation) bool { return r.commit > l.begin })
	switch {
	case mustDie:
		c.mustDie++
		if dead {
			return
		}
		c.survivors++
		if slices.ContainsFunc(w.revocations, func(r simRevocation) bool { return r.statement > stamp }) {
			c.survivorsSeen++
		}
	case mustLive:
		c.mustLive++
		if dead {
			c.refused++
		}
	default:
		c.overlapped++
		if dead {
			c.overlapRefused++
		}
	}
}

// TestClaimRuleOnPostgres races logins with password changes on a real server. The password's
// version, read in the snapshot in which the epochs are read, is the oracle.
func TestClaimRuleOnPostgres(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	testkit.Exec(t, pool, "CREATE TABLE accounts AS SELECT 0 AS version")
	base := testkit.Token()

	type login struct {
		version int
		early   bool // the epochs were read in a snapshot of their own, before the password
		token   revoke.Token
	}
	var mu sync.Mutex
	var logins []login
	signIn := func() error {
		l := login{token: base, early: rand.IntN(2) == 0}
		var epochs revoke.Epochs
		var err error
		if l.early {
			if epochs, err = store.Epochs(ctx, base.User()); err != nil {
				return err
			}
			err = pool.QueryRow(ctx, "SELECT version FROM accounts").Scan(&l.version)
		} else {
			options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
			err = pgx.BeginTxFunc(ctx, pool, options, func(tx pgx.Tx) error {
				if err := tx.QueryRow(ctx, "SELECT version FROM accounts").Scan(&l.version); err != nil {
					return err
				}
				epochs, err = store.WithTx(tx).Epochs(ctx, base.User())
				return err
			})
		}
		l.token.Epochs, l.token.HasEpochs = epochs, true
		mu.Lock()
		logins = append(logins, l)
		mu.Unlock()
		return err
	}
	change := func() error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "UPDATE accounts SET version = version + 1"); err != nil {
				return err
			}
			_, err := store.WithTx(tx).RevokeUser(ctx, base.User())
			return err
		})
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	errs := make(chan error, 4)
	for range cap(errs) - 1 {
		go func() {
			var err error
			for running.Err() == nil && err == nil {
				err = signIn()
			}
			errs <- err
		}()
	}
	go func() {
		defer stop()
		var err error
		for range testkit.Long(50, 3000) {
			if err = change(); err != nil {
				break
			}
		}
		errs <- err
	}()
	for range cap(errs) {
		testkit.Must(t, <-errs)
	}
	testkit.Must(t, signIn()) // after the last change

	final := testkit.QueryOne[int](t, pool, "SELECT version FROM accounts")
	last, err := store.Epochs(ctx, base.User())
	testkit.Must(t, err)
	alive := 0
	for _, l := range logins {
		switch dead := judged(l.token, last); {
		case !dead && l.version < final:
			t.Fatalf("a token of version %d is accepted after version %d", l.version, final)
		case dead && l.version == final && !l.early:
			t.Fatal("a token of the last version is refused")
		case !dead:
			alive++
			testkit.Must(t, store.Check(ctx, l.token))
		}
	}
	t.Logf("%d logins beside %d password changes, %d alive", len(logins), final, alive)
	if alive == 0 || final < 10 {
		t.Errorf("%d changes and %d tokens alive prove nothing", final, alive)
	}
}
