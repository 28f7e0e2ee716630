package mirror

import (
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// failover is a primary with a standby, and a store that follows the primary.
type failover struct {
	*testkit.Failover
	t     *testing.T
	store *revoke.Postgres
	lost  []revoke.Token // that the standby does not get
	seen  string         // the number of the next transaction when they were revoked
}

func newFailover(t *testing.T) *failover {
	t.Helper()
	f := &failover{Failover: testkit.NewFailover(t), t: t}
	f.store = f.openStore()
	return f
}

// openStore returns a store with a pool that follows the primary.
func (f *failover) openStore() *revoke.Postgres {
	f.t.Helper()
	return testkit.OpenStore(f.t, f.Pool())
}

// cutOff ends replication, and revokes tokens that the standby does not get.
func (f *failover) cutOff() {
	f.t.Helper()
	f.CutOff()
	for range 300 {
		f.lost = append(f.lost, testkit.Token())
		testkit.Must(f.t, f.store.RevokeToken(f.t.Context(), f.lost[len(f.lost)-1]))
	}
	f.seen = f.Query(f.Primary, "SELECT lpad(pg_snapshot_xmax(pg_current_snapshot())::text, 20, '0')")
}

// revokeOnNew revokes a token on the promoted standby. Its transaction has a number
// that the old primary has given out too.
func (f *failover) revokeOnNew() (token revoke.Token, committed time.Time) {
	f.t.Helper()
	ctx := f.t.Context()
	token = testkit.Token()
	testkit.Eventually(f.t, "the new primary takes writes", func() bool { return f.store.RevokeToken(ctx, token) == nil })
	committed = time.Now()
	number := testkit.QueryOne[string](f.t, f.store.Pool(), "SELECT lpad(xid::text, 20, '0') FROM revoke.revocations WHERE id = $1", token.ID)
	if number >= f.seen {
		f.t.Fatalf("transaction %s is not numbered below %s, so this proves nothing", number, f.seen)
	}
	return token, committed
}

// The primary is lost together with transactions that the mirror has seen and the
// standby did not get. The promoted standby gives their numbers out again, so a
// revocation there looks older than what the mirror has seen.
func TestFailover(t *testing.T) {
	t.Parallel()
	f := newFailover(t)
	m := run(t, f.openStore(), WithBound(200*time.Millisecond))
	f.cutOff()
	testkit.Must(t, m.Sync(t.Context()))
	testkit.WantError(t, m.Check(t.Context(), f.lost[299]), revoke.ErrRevoked)
	f.FailOver()
	for range 10 {
		token, committed := f.revokeOnNew()
		untilRefused(t, m, token, committed)
	}
	testkit.Must(t, m.Sync(t.Context()))
	for _, token := range f.lost { // as the database says, which has lost them
		testkit.Must(t, m.Check(t.Context(), token))
	}
	if n := m.Stats().Loads; n < 2 {
		t.Errorf("%d loads, want one for each session", n)
	}
}

// A gateway keeps the mirror's connection over a failover and replays its settings, the
// nonce among them, into a session of the promoted standby. What the mirror knew of the
// old primary's transactions must not count there.
func TestGatewayReplaysSettingsOverAFailover(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFailover(t)
	g := openGateway(t, f)
	m := run(t, f.openStore(), WithBound(MaxBound), WithInterval(50*time.Millisecond), WithConnString(g.connString()))
	if !m.Stats().Exact {
		t.Fatal("the gateway is taken for a pooler, so this proves nothing")
	}
	f.cutOff()
	testkit.Must(t, m.Sync(ctx))
	refuses(t, m, f.lost[299], revoke.ScopeToken)
	g.hold()
	f.FailOver()
	var tokens []revoke.Token
	for range 10 { // before the mirror has seen a snapshot of the new primary
		token, _ := f.revokeOnNew()
		tokens = append(tokens, token)
	}
	g.goOn()
	testkit.Must(t, m.Sync(ctx))
	for _, token := range tokens {
		refuses(t, m, token, revoke.ScopeToken)
	}
	if n := g.replays.Load(); n == 0 {
		t.Error("the gateway has replayed nothing, so this proves nothing")
	}
}
