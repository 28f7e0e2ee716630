package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// size is the number of revoked tokens, and the number of epochs.
func size() int {
	if testing.Short() {
		return 10_000
	}
	return 1_000_000
}

// request is a good token of a user who has an epoch, in every form that a way needs, so that
// no way spends time on making its own.
type request struct {
	token revoke.Token
	text  string        // of the token, signed
	key   pgtype.UUID   // of the user's epoch
	keys  []pgtype.UUID // of everything that Check asks about
}

// newRequests returns requests of random users.
func newRequests(b *testing.B) []request {
	b.Helper()
	return newRequestsOf(b, size())
}

// newRequestsOf returns requests of random users out of the first n.
func newRequestsOf(b *testing.B, n int) []request {
	b.Helper()
	requests := make([]request, 1<<16)
	now := time.Now()
	for i := range requests {
		user := rand.IntN(n)
		token := revoke.Token{
			Issuer: testkit.Issuer, ID: fmt.Sprint("good-", i), Subject: fmt.Sprint("user-", user), SessionID: fmt.Sprint("session-", user),
			IssuedAt: now.Truncate(time.Second), ExpiresAt: now.Add(time.Hour).Truncate(time.Second),
		}
		requests[i] = request{token: token, key: uuid(revoke.ScopeUser.Key(token.Issuer, token.Subject))}
		var v revoke.Verdict
		for _, key := range testkit.Value(v.OfToken(token))(b) {
			requests[i].keys = append(requests[i].keys, uuid(key))
		}
	}
	return requests
}

// uuid returns a key as a parameter that pgx encodes.
func uuid(key [16]byte) pgtype.UUID { return pgtype.UUID{Bytes: key, Valid: true} }

// fillPostgres writes n revoked tokens and the epochs of n users. Every epoch is older than the
// requests.
func fillPostgres(b *testing.B, pool *pgxpool.Pool, n int) {
	b.Helper()
	const insert = `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
		SELECT revoke.row_key($3::text, $2::text, $3::text || '-' || i), to_timestamp(0), now() + interval '1 hour', now(),
		       $3::text, $2::text, $3::text || '-' || i
		FROM generate_series(0, $1::int - 1) AS i`
	for _, scope := range []revoke.Scope{revoke.ScopeToken, revoke.ScopeUser} {
		testkit.Exec(b, pool, insert, n, testkit.Issuer, string(scope))
	}
	testkit.Exec(b, pool, "VACUUM ANALYZE")
	testkit.Exec(b, pool, "CHECKPOINT")
}
