package mirror_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/mirror"
)

// fillTokens revokes that many tokens.
func fillTokens(tb testing.TB, pool *pgxpool.Pool, n int) {
	tb.Helper()
	mustExec(tb, pool, `INSERT INTO revoke.revoked_tokens (key, expires_at, revoked_at, issuer, jti)
		SELECT gen_random_uuid(), now() + interval '1 hour', now(), 'https://issuer.example', 'token-' || i FROM generate_series(1, $1::int) AS i`, n)
}

// BenchmarkCheck asks a mirror of some size about a good token, with all its identifiers, from memory.
func BenchmarkCheck(b *testing.B) {
	for _, entries := range []int{1_000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			store := newStore(b, pgserver.Database(b))
			fillTokens(b, store.Pool(), entries)
			start := time.Now()
			m := run(b, store)
			loaded := time.Since(start)
			tokens := make([]revoke.Token, 1024)
			for i := range tokens {
				tokens[i] = newToken()
			}
			ctx := context.Background()
			before := m.Stats().Fallbacks
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := m.Check(ctx, tokens[i%len(tokens)]); err != nil {
					b.Fatal(err)
				}
				i++
			}
			stats := m.Stats()
			b.ReportMetric(loaded.Seconds(), "load-s")
			b.ReportMetric(float64(stats.Bytes)/float64(stats.Entries), "B/entry")
			b.ReportMetric(float64(stats.Fallbacks-before)/float64(b.N), "fallbacks/op")
		})
	}
}

// BenchmarkValidate compares a validation with a mirror with golang-jwt alone, which parses, verifies and validates the same
// token, by doing the two in turn.
func BenchmarkValidate(b *testing.B) {
	store := newStore(b, pgserver.Database(b))
	fillTokens(b, store.Pool(), 1_000_000)
	m := run(b, store)
	ecKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, err2 := rsa.GenerateKey(rand.Reader, 2048)
	edPublic, edKey, err3 := ed25519.GenerateKey(rand.Reader)
	must(b, errors.Join(err1, err2, err3))
	secret := []byte("0123456789abcdef0123456789abcdef")
	for _, c := range []struct {
		method        jwt.SigningMethod
		sign, confirm any
	}{
		{jwt.SigningMethodHS256, secret, secret},
		{jwt.SigningMethodRS256, rsaKey, rsaKey.Public()},
		{jwt.SigningMethodES256, ecKey, ecKey.Public()},
		{jwt.SigningMethodEdDSA, edKey, edPublic},
	} {
		b.Run(c.method.Alg(), func(b *testing.B) {
			keyfunc := func(*jwt.Token) (any, error) { return c.confirm, nil }
			v, err := revoke.NewValidator[revoke.Claims](m, issuer, keyfunc, []string{c.method.Alg()})
			must(b, err)
			now := time.Now()
			text, err := jwt.NewWithClaims(c.method, revoke.Claims{
				RegisteredClaims: jwt.RegisteredClaims{
					Issuer: issuer, Subject: "user-1", ID: rand.Text(), Audience: jwt.ClaimStrings{"api"},
					IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
				},
				SessionID: rand.Text(),
			}).SignedString(c.sign)
			must(b, err)
			ctx := context.Background()
			var floors, full []time.Duration
			for b.Loop() {
				start := time.Now()
				_, err := jwt.ParseWithClaims(text, &revoke.Claims{}, keyfunc, jwt.WithValidMethods([]string{c.method.Alg()}),
					jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
				middle := time.Now()
				_, _, err2 := v.Validate(ctx, text)
				full = append(full, time.Since(middle))
				floors = append(floors, middle.Sub(start))
				must(b, errors.Join(err, err2))
			}
			slices.Sort(floors)
			slices.Sort(full)
			floor, all := floors[len(floors)/2], full[len(full)/2]
			b.ReportMetric(0, "ns/op") // two things at once: the medians tell more
			b.ReportMetric(float64(floor.Nanoseconds()), "jwt-ns")
			b.ReportMetric(float64(all.Nanoseconds()), "validate-ns")
			b.ReportMetric(float64(all)/float64(floor), "validate/jwt")
		})
	}
}

// BenchmarkEnforced measures how long after its commit a revocation is enforced by the last of some mirrors.
func BenchmarkEnforced(b *testing.B) {
	for _, n := range []int{1, 10} {
		for _, told := range []bool{true, false} {
			b.Run(fmt.Sprintf("mirrors=%d/told=%v", n, told), func(b *testing.B) {
				address := pgserver.Database(b)
				mirrors := make([]*mirror.Mirror, n)
				for i := range mirrors {
					mirrors[i] = run(b, newStore(b, address))
				}
				outside := newStore(b, address)
				var times []time.Duration
				for b.Loop() {
					token := newToken()
					var err error
					if told {
						err = mirrors[0].Store().RevokeToken(b.Context(), token)
					} else {
						err = outside.RevokeToken(b.Context(), token)
					}
					must(b, err)
					start := time.Now()
					for _, m := range mirrors {
						for m.Check(b.Context(), token) == nil {
							pause()
						}
					}
					times = append(times, time.Since(start))
				}
				slices.Sort(times)
				b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}

// pause lets others run for a moment, between two looks at a mirror.
func pause() { <-time.After(50 * time.Microsecond) }
