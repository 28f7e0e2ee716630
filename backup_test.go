package revoke_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// TestRestoredBackup restores a backup that was made before revocations in each scope. What they
// refused is accepted then, until RevokeIssuer, by both rules; a later sign-in works.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	from := pgserver.Database(t)
	admin := pgserver.Pool(t, from)
	before := testkit.OpenStore(t, admin)
	now := time.Now()
	at := func(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }
	ada := revoke.User{Issuer: testkit.Issuer, Subject: "ada"}
	epochs := testkit.Value(before.RevokeUser(t.Context(), ada))(t)
	of := func(user, id, session string, iat time.Duration, epochs revoke.Epochs) string {
		return testkit.Mint(t, map[string]string{
			"sub": `"` + user + `"`, "jti": `"` + id + `"`, "sid": `"` + session + `"`, "iat": at(iat), "exp": at(time.Hour),
			"epochs": string(testkit.Value(epochs.MarshalJSON())(t)),
		})
	}
	token, session, user := of("eve", "1", "a", -time.Minute, revoke.Epochs{}), of("eve", "2", "b", -time.Minute, revoke.Epochs{}), of("bob", "3", "c", -time.Minute, revoke.Epochs{})
	since := of("ada", "4", "d", 0, epochs)

	restored := testkit.OpenStore(t, pgserver.Pool(t, restoredFrom(t, from)))
	testkit.Must(t, before.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: "1"}))
	testkit.Must(t, before.RevokeSession(t.Context(), revoke.Session{Issuer: testkit.Issuer, ID: "b"}))
	testkit.Value(before.RevokeUser(t.Context(), revoke.User{Issuer: testkit.Issuer, Subject: "bob"}))(t)

	validators := func(store revoke.Store) map[string]*revoke.Validator {
		return map[string]*revoke.Validator{
			"iat":   es256(t, store, revoke.WithClock(time.Now)),
			"claim": es256(t, store, revoke.WithClock(time.Now), revoke.WithEpochClaim()),
		}
	}
	for _, v := range validators(before) {
		for _, text := range []string{token, session, user} {
			refused(t, v, text, revoke.ErrRevoked)
		}
	}
	for _, v := range validators(restored) {
		for _, text := range []string{token, session, user} {
			accepted(t, v, text)
		}
	}
	accepted(t, validators(restored)["claim"], since)
	testkit.Value(restored.RevokeIssuer(t.Context(), testkit.Issuer))(t)
	for _, v := range validators(restored) {
		for _, text := range []string{token, session, user, since} {
			refused(t, v, text, revoke.ErrRevoked)
		}
	}
	epochs = testkit.Value(restored.Epochs(t.Context(), ada))(t)
	accepted(t, validators(restored)["claim"], of("ada", "5", "e", 0, epochs))
}
