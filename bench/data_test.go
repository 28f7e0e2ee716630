package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

const issuer = "https://issuer.example"

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// size is how many revoked tokens there are, and how many epochs.
func size() int {
	if testing.Short() {
		return 10_000
	}
	return 1_000_000
}

// request is a good token of a user who has an epoch, in whatever form a way wants it, so that making it costs nobody.
type request struct {
	token revoke.Token
	text  string      // of the token, signed
	key   pgtype.UUID // of the user's epoch
}

// newRequests returns some requests of users at random.
func newRequests(b *testing.B, pool *pgxpool.Pool) []request {
	b.Helper()
	requests := make([]request, 1<<16)
	subjects := make([]string, len(requests))
	now := time.Now()
	for i := range requests {
		user := rand.IntN(size())
		subjects[i] = fmt.Sprint("user-", user)
		requests[i].token = revoke.Token{
			Issuer: issuer, ID: fmt.Sprint("good-", i), Subject: subjects[i], SessionID: fmt.Sprint("session-", user),
			IssuedAt: now.Truncate(time.Second), ExpiresAt: now.Add(time.Hour).Truncate(time.Second),
		}
	}
	rows, err := pool.Query(b.Context(), `SELECT revoke.row_key('user', $1, n.subject) FROM unnest($2::text[]) WITH ORDINALITY AS n (subject, i)
		ORDER BY n.i`, issuer, subjects)
	must(b, err)
	keys, err := pgx.CollectRows(rows, pgx.RowTo[pgtype.UUID])
	must(b, err)
	for i := range requests {
		requests[i].key = keys[i]
	}
	return requests
}

// fillPostgres writes revoked tokens and epochs, all of which are older than the requests.
func fillPostgres(b *testing.B, pool *pgxpool.Pool, n int) {
	b.Helper()
	for _, insert := range []string{
		`INSERT INTO revoke.revoked_tokens (key, expires_at, revoked_at, issuer, jti)
			SELECT revoke.row_key('token', $2::text, 'token-' || i), now() + interval '1 hour', now(), $2::text, 'token-' || i
			FROM generate_series(0, $1::int - 1) AS i`,
		`INSERT INTO revoke.user_epochs (key, not_before, expires_at, revoked_at, issuer, subject)
			SELECT revoke.row_key('user', $2::text, 'user-' || i), to_timestamp(0), now() + interval '1 hour', now(), $2::text, 'user-' || i
			FROM generate_series(0, $1::int - 1) AS i`,
	} {
		_, err := pool.Exec(b.Context(), insert, n, issuer)
		must(b, err)
	}
	_, err := pool.Exec(b.Context(), "VACUUM ANALYZE")
	must(b, err)
	_, err = pool.Exec(b.Context(), "CHECKPOINT")
	must(b, err)
}
