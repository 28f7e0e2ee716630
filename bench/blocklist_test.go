package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	kataras "github.com/kataras/jwt"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
)

// compareBlocklist compares Validate on a mirror with the blocklist of kataras/jwt, which is in
// memory too, each beside its own library alone. The blocklist holds tokens only, and only
// those that this process blocked: a token that another process blocked, or that was blocked
// before the last start, passes. It comes after all other comparisons, because a map of a million
// strings slows the garbage collector, and so every other way.
func compareBlocklist(b *testing.B, m *mirror.Mirror, requests []request) {
	b.Helper()
	hs256 := newSigners()[0]
	requests = hs256.signed(b, requests[:1<<12])
	blocklist := kataras.NewBlocklist(0)
	for i := range size() {
		id := fmt.Sprint("token-", i)
		testkit.Must(b, blocklist.InvalidateToken([]byte(id), kataras.Claims{ID: id, Expiry: time.Now().Add(time.Hour).Unix()}))
	}
	verify := func(validators ...kataras.TokenValidator) func(context.Context, *request) error {
		return func(_ context.Context, r *request) error {
			verified, err := kataras.Verify(kataras.HS256, testkit.TestKeys().Secret, []byte(r.text), validators...)
			if err != nil {
				return err
			}
			var claims revoke.Claims
			return verified.Claims(&claims)
		}
	}
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			compare(b, callers, requests,
				way{"golang-jwt alone", hs256.bare},
				way{"Validate, mirror", hs256.validate(b, m)},
				way{"kataras/jwt alone", verify()},
				way{"kataras/jwt with blocklist", verify(blocklist)},
			)
		})
	}
}
