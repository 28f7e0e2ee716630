package mirror_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/mirror"
)

// TestStress ends the mirrors' sessions all the time.
func TestStress(t *testing.T) {
	t.Parallel()
	if unanswered := stress(t, pgserver.Database(t), func(pool *pgxpool.Pool) { backends(t, pool) }); unanswered != 0 {
		t.Errorf("%d checks were not answered, while the store's own sessions went on", unanswered)
	}
}

// TestStressWithStops stops the mirrors' sessions in the server all the time, for longer than the bound: they say nothing, and
// go on later as if nothing had been.
func TestStressWithStops(t *testing.T) {
	t.Parallel()
	if os.Getenv("REVOKE_DATABASE_URL") != "" {
		t.Skip("the processes of the server of REVOKE_DATABASE_URL are not ours to stop")
	}
	stops := 0
	unanswered := stress(t, pgserver.Database(t), func(pool *pgxpool.Pool) {
		ctx := context.WithoutCancel(t.Context())
		var pids string
		err := pool.QueryRow(ctx, `SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE '%pg_current_snapshot()%' AND pid <> pg_backend_pid()`).Scan(&pids)
		if err == nil && pids != "" {
			_, err = pool.Exec(ctx, "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; kill -STOP "+pids+"; sleep 0.5; kill -CONT "+pids+" || true'")
			stops++
		}
		if err != nil {
			t.Error(err)
		}
	})
	if stops < 3 {
		t.Errorf("%d stops", stops)
	}
	t.Logf("%d stops", stops)
	if unanswered != 0 {
		t.Errorf("%d checks were not answered, while the store's own sessions went on", unanswered)
	}
}

// TestStressWithCrashes kills a process of the server's all the time, so that it ends every session and recovers from its
// log, by which numbers of transactions that had written nothing to it are given out again.
func TestStressWithCrashes(t *testing.T) {
	t.Parallel()
	if os.Getenv("REVOKE_DATABASE_URL") != "" {
		t.Skip("the server of REVOKE_DATABASE_URL is not ours to crash")
	}
	server, err := pgserver.Open(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	address, err := server.CreateDatabase(t.Context())
	must(t, err)
	crashes := 0
	stress(t, address, func(pool *pgxpool.Pool) {
		_, err := pool.Exec(context.WithoutCancel(t.Context()), "COPY (SELECT 1) TO PROGRAM 'kill -KILL $PPID'")
		if err == nil {
			t.Error("the server outlived its death")
		}
		if pgErr := (*pgconn.PgError)(nil); !errors.As(err, &pgErr) { // the connection was cut in the middle of the statement
			crashes++
		}
	})
	if crashes < 2 {
		t.Errorf("%d crashes", crashes)
	}
	t.Logf("%d crashes", crashes)
}

// stress has writers of every kind work against several mirrors while something is broken every 700 ms. No check that
// begins later than the bound after a commit accepts, and none after a write through the same process. While nobody can
// answer, a check of a good token may say so, and nothing else.
func stress(t *testing.T, address string, disturb func(*pgxpool.Pool)) (unanswered int64) {
	t.Helper()
	const bound = 300 * time.Millisecond
	outside := newStore(t, address)
	mirrors := make([]*mirror.Mirror, 3)
	for i := range mirrors {
		mirrors[i] = run(t, newStore(t, address), mirror.WithBound(bound))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	type event struct {
		token revoke.Token
		at    time.Time
	}
	events := make(chan event, 100_000)
	var checks, own atomic.Int64
	var group sync.WaitGroup
	write := func(r revoke.Revoker, kind int, token revoke.Token) error {
		switch kind % 4 {
		case 0:
			return r.RevokeToken(ctx, token)
		case 1:
			return r.RevokeSession(ctx, sessionOf(token))
		case 2:
			_, err := r.RevokeUser(ctx, userOf(token))
			return err
		default:
			return r.Redeem(ctx, token)
		}
	}
	for i := range 4 {
		group.Go(func() {
			for kind := 0; ctx.Err() == nil; kind++ {
				token := newToken()
				var err error
				switch {
				case i < 3: // through a mirror
					if err = write(mirrors[i].Store(), kind, token); err != nil {
						break
					}
					own.Add(1)
					if err := mirrors[i].Check(t.Context(), token); err == nil {
						t.Error("a revocation of the same process is not enforced")
					}
				case kind%2 == 0:
					err = write(outside, kind/2, token)
				default: // in a transaction that stays open for a while
					err = pgx.BeginFunc(ctx, outside.Pool(), func(tx pgx.Tx) error {
						if err := write(outside.WithTx(tx), kind/2, token); err != nil {
							return err
						}
						select {
						case <-time.After(time.Duration(kind%40) * time.Millisecond):
						case <-ctx.Done():
						}
						return nil
					})
				}
				if err != nil { // it may have happened, or not
					pause()
					continue
				}
				events <- event{token, time.Now()}
			}
		})
	}
	group.Go(func() {
		tick := time.NewTicker(700 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if ctx.Err() == nil {
					disturb(outside.Pool())
				}
			case <-ctx.Done():
				return
			}
		}
	})
	done := make(chan struct{})
	go func() { group.Wait(); close(events); close(done) }()
	for e := range events {
		timer := time.NewTimer(time.Until(e.at.Add(bound + time.Millisecond)))
		<-timer.C
		for i, m := range mirrors {
			checks.Add(1)
			if err := m.Check(t.Context(), e.token); err == nil {
				t.Errorf("mirror %d accepts %v after the commit", i, time.Since(e.at))
			}
			switch err := m.Check(t.Context(), newToken()); {
			case errors.Is(err, revoke.ErrUnavailable):
				unanswered++
			case err != nil:
				t.Errorf("mirror %d refuses a good token: %v", i, err)
			}
		}
	}
	<-done
	var fallbacks, loads uint64
	for _, m := range mirrors {
		fallbacks += m.Stats().Fallbacks
		loads += m.Stats().Loads
	}
	total := 2*checks.Load() + own.Load()
	t.Logf("%d revocations, %d checks, %.2f %% of them by Postgres, %d unanswered, %d loads", checks.Load()/3, total,
		100*float64(fallbacks)/float64(total), unanswered, loads)
	if checks.Load() < 1000 || (loads < 6 && fallbacks < 100) {
		t.Errorf("%d checks, %d by Postgres, and %d loads prove little", checks.Load(), fallbacks, loads)
	}
	return unanswered
}
