package mirror

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// The mirrors' sessions are ended all the time.
func TestStress(t *testing.T) {
	t.Parallel()
	unanswered := stress(t, pgserver.Database(t), func(pool *pgxpool.Pool) bool { return endSessions(t, pool) > 0 })
	if unanswered != 0 {
		t.Errorf("%d checks were not answered, while the store's own sessions went on", unanswered)
	}
}

// The mirrors' sessions are stopped in the server all the time, for longer than the
// bound. They send nothing, and go on later as if nothing had been.
func TestStressWithStops(t *testing.T) {
	t.Parallel()
	server, _ := testkit.OwnServer(t)
	address := testkit.Value(server.CreateDatabase(t.Context()))(t)
	unanswered := stress(t, address, func(pool *pgxpool.Pool) bool {
		pids := testkit.QueryOne[string](t, pool, "SELECT coalesce(string_agg(pid::text, ' '), '') "+mirrorSessions)
		if pids == "" {
			return false
		}
		testkit.Exec(t, pool, "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; kill -STOP "+pids+"; sleep 0.5; kill -CONT "+pids+" || true'")
		return true
	})
	if unanswered != 0 {
		t.Errorf("%d checks were not answered, while the store's own sessions went on", unanswered)
	}
}

// A process of the server is killed all the time, so that the server ends every session
// and recovers from its log. Then it gives numbers of transactions that had written
// nothing to the log out again.
func TestStressWithCrashes(t *testing.T) {
	t.Parallel()
	server, _ := testkit.OwnServer(t)
	address := testkit.Value(server.CreateDatabase(t.Context()))(t)
	stress(t, address, func(pool *pgxpool.Pool) bool {
		_, err := pool.Exec(t.Context(), "COPY (SELECT 1) TO PROGRAM 'kill -KILL $PPID'")
		if err == nil {
			t.Error("the process outlived its death")
		}
		// Otherwise the server answered, that it is still recovering.
		return !errors.As(err, new(*pgconn.PgError)) && !errors.As(err, new(*pgconn.ConnectError))
	})
}

// The table is rewritten, or emptied and filled again, all the time, while every transaction of the
// processes is REPEATABLE READ by default. The mirrors' reads wait for the lock.
func TestStressWithRewrites(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	isolated := testkit.NewRole(t, admin, "SET default_transaction_isolation = 'repeatable read'")
	n := 0
	unanswered := stress(t, testkit.WithUser(t, address, isolated), func(*pgxpool.Pool) bool {
		n++
		err := pgx.BeginFunc(t.Context(), admin, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), []string{
				"ALTER TABLE revoke.revocations ALTER COLUMN reason TYPE text USING reason || ''",
				`LOCK TABLE revoke.revocations; CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM revoke.revocations;
					TRUNCATE revoke.revocations; INSERT INTO revoke.revocations SELECT * FROM kept`,
			}[n%2], pgx.QueryExecModeSimpleProtocol)
			return err
		})
		if err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		endSessions(t, admin) // loads wait too
		return err == nil
	})
	if unanswered != 0 {
		t.Errorf("%d checks were not answered, while the store's own sessions went on", unanswered)
	}
}

// The server is fenced and unfenced all the time, and its sessions are ended then, as in a
// switchover.
func TestStressWithFences(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	role := testkit.NewRole(t, admin)
	fenced := false
	stress(t, testkit.WithUser(t, address, role), func(*pgxpool.Pool) bool {
		fenced = !fenced
		testkit.Exec(t, admin, "ALTER ROLE "+role+" SET default_transaction_read_only = "+map[bool]string{true: "on", false: "off"}[fenced])
		testkit.Exec(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+role+"'")
		return true
	})
}

// The processes' endpoint leads to a standby, to which replication has stopped, and back, all the
// time.
func TestStressWithStandby(t *testing.T) {
	t.Parallel()
	f := newFailover(t)
	f.cutOff()
	primary, standby := f.LeadsTo.Load(), f.Standby.URL()
	admin := pgserver.Pool(t, f.Address)
	onStandby := false
	stress(t, f.Address, func(*pgxpool.Pool) bool {
		onStandby = !onStandby
		f.LeadsTo.Store(map[bool]*string{true: &standby, false: primary}[onStandby])
		testkit.Exec(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		return true
	}, func(c *pgxpool.Config) { c.ConnConfig.DialFunc = f.Dial })
}

// stress takes place until so much has happened, however long that takes on this machine. Three
// mirrors are asked about each revocation. In a short run the disturbances come sooner, and the
// writers pause between two writes.
var stressed = testkit.Long(
	amount{checks: 500, disturbances: 2, interval: 300 * time.Millisecond, pause: 15 * time.Millisecond},
	amount{checks: 2000, disturbances: 4, interval: 500 * time.Millisecond})

type amount struct {
	checks, disturbances int
	interval, pause      time.Duration
}

// unshown counts how often a mirror took a lost session for the wrong server.
type unshown struct{ atomic.Int64 }

func (u *unshown) OnMirror(_ context.Context, event revoke.MirrorEvent) {
	if errors.Is(event.Err, errUnshown) {
		u.Add(1)
	}
}

// stress lets writers of every kind work against several mirrors while disturb breaks
// something at an interval, and reports whether it did. No check that begins later than
// the bound after a commit accepts, and none after a write through the same process. If
// neither memory nor Postgres can answer, a check of a good token may say so, and
// stress counts it.
func stress(t *testing.T, address string, disturb func(*pgxpool.Pool) bool, configure ...func(*pgxpool.Config)) (unanswered int) {
	t.Helper()
	const bound = 300 * time.Millisecond
	// On a loaded machine a check by Postgres may take longer than the default.
	patient := revoke.WithCheckTimeout(time.Minute)
	open := func(opts ...revoke.PostgresOption) *revoke.Postgres {
		return testkit.OpenStore(t, pgserver.Pool(t, address, configure...), append(opts, patient)...)
	}
	outside := open()
	var wrong unshown
	mirrors := make([]*Mirror, 3)
	for i := range mirrors {
		mirrors[i] = run(t, open(revoke.WithHook(&wrong)), WithBound(bound))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	type event struct {
		token revoke.Token
		at    time.Time
	}
	events := make(chan event, 1000)
	var own atomic.Int64
	var disturbances atomic.Int32
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				pause(ctx, stressed.pause)
				token, way := aloneToken(), ways[n%len(ways)]
				var err error
				switch {
				case i < len(mirrors):
					if err = way.revoke(ctx, mirrors[i].Store(), token); err != nil {
						break
					}
					own.Add(1)
					if err := mirrors[i].Check(t.Context(), token); err == nil {
						t.Errorf("a revocation of the same process by %s is not enforced", way.method)
					}
				case n%2 == 0:
					err = way.revoke(ctx, outside, token)
				default: // in a transaction that stays open for a while
					err = pgx.BeginFunc(ctx, outside.Pool(), func(tx pgx.Tx) error {
						if err := way.revoke(ctx, outside.WithTx(tx), token); err != nil {
							return err
						}
						pause(ctx, time.Duration(n%40)*time.Millisecond)
						return nil
					})
				}
				if err != nil { // it may have happened, or not
					pause(ctx, time.Millisecond)
					continue
				}
				select {
				case events <- event{token, time.Now()}:
				case <-ctx.Done():
				}
			}
		})
	}
	group.Go(func() {
		tick := time.NewTicker(stressed.interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if disturb(outside.Pool()) {
					disturbances.Add(1)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	go func() { group.Wait(); close(events) }()
	checks := 0
	for e := range events {
		<-time.After(time.Until(e.at.Add(bound + time.Millisecond)))
		for i, m := range mirrors {
			if err := m.Check(t.Context(), e.token); err == nil {
				t.Errorf("mirror %d accepts %v after the commit", i, time.Since(e.at))
			}
			switch err := m.Check(t.Context(), testkit.Token()); {
			case errors.Is(err, revoke.ErrUnavailable):
				unanswered++
			case err != nil:
				t.Errorf("mirror %d refuses a good token: %v", i, err)
			}
			checks += 2
		}
		// Every other disturbance leaves the server fenced, or a standby in its place, and what is
		// left to check would wait for it.
		if n := int(disturbances.Load()); checks >= stressed.checks && n >= stressed.disturbances && n%2 == 0 {
			cancel()
		}
	}
	var fallbacks, loads uint64
	for _, m := range mirrors {
		fallbacks += m.Stats().Fallbacks
		loads += m.Stats().Loads
	}
	t.Logf("%d disturbances, %d own revocations, %d checks, %d answered by Postgres, %d unanswered, %d loads",
		disturbances.Load(), own.Load(), checks, fallbacks, unanswered, loads)
	if checks < stressed.checks || int(disturbances.Load()) < stressed.disturbances || loads < 6 && fallbacks < 100 {
		t.Error("that proves little")
	}
	if n := wrong.Load(); n != 0 {
		t.Errorf("%d times a mirror took its server for the wrong one", n)
	}
	return unanswered
}
