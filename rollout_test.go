package revoke_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// rolloutOption is one that docs/rollout.md drops when the last older token has expired.
type rolloutOption struct {
	name    string
	option  revoke.ValidatorOption
	missing string // the claim that an older token lacks without the option
}

func rolloutOptions() []rolloutOption {
	return []rolloutOption{
		{"WithOptionalEpochClaim", revoke.WithOptionalEpochClaim(), "epochs"},
		{"WithOptionalIssuedAt", revoke.WithOptionalIssuedAt(), "iat"},
		{"WithOptionalIssuer", revoke.WithOptionalIssuer(), "iss"},
		{"WithDerivedID", revoke.WithDerivedID(), "jti"},
	}
}

// rollout is an app in the middle of docs/rollout.md.
type rollout struct {
	store *revoke.Postgres
	both  *revoke.Validator
}

func newRollout(t *testing.T) *rollout {
	t.Helper()
	store, _ := testkit.Store(t, revoke.WithIssuers(exampleIssuer))
	return &rollout{store, testkit.Value(newBothValidator(store))(t)}
}

// older returns a token of before, which expires in so many hours.
func (*rollout) older(t *testing.T, userID, hours int) string {
	t.Helper()
	return rolloutSign(t, jwt.MapClaims{"user_id": userID, "exp": time.Now().Add(time.Duration(hours) * time.Hour).Unix()})
}

// newer returns a token with all claims, for a sign-in of now.
func (r *rollout) newer(t *testing.T, userID int64) string {
	t.Helper()
	epochs := testkit.QueryOne[revoke.Epochs](t, r.store.Pool(), "SELECT revoke.epochs($1, $2::bigint::text)", exampleIssuer, userID)
	return testkit.Value(signBoth(userID, epochs))(t)
}

func rolloutSign(t *testing.T, claims jwt.Claims) string {
	t.Helper()
	return testkit.Value(jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(exampleKey))(t)
}

// want validates each token, and fails the test if one gives another error than err.
func (*rollout) want(t *testing.T, validator *revoke.Validator, err error, texts ...string) {
	t.Helper()
	for i, text := range texts {
		if _, got := validator.Validate(t.Context(), text); err == nil && got != nil {
			t.Errorf("token %d is refused: %v", i, got)
		} else if err != nil {
			testkit.WantError(t, got, err)
		}
	}
}

// TestRolloutAcceptsBoth revokes while tokens of both kinds live.
func TestRolloutAcceptsBoth(t *testing.T) {
	t.Parallel()
	r := newRollout(t)
	ctx := t.Context()
	older, sameUsers, others := r.older(t, 42, 1), r.older(t, 42, 2), r.older(t, 7, 1)
	newer := r.newer(t, 42)
	r.want(t, r.both, nil, older, sameUsers, others, newer)

	// Code of before reads the new tokens.
	var read struct {
		UserID int64 `json:"user_id"`
		jwt.RegisteredClaims
	}
	_, err := jwt.ParseWithClaims(newer, &read, exampleKeyfunc)
	testkit.Must(t, err)
	if read.UserID != 42 {
		t.Errorf("user_id is %d", read.UserID)
	}

	// Both kinds have one user.
	for _, text := range []string{older, newer} {
		if verified := testkit.Value(r.both.Validate(ctx, text))(t); verified.User() != r.both.User("42") || verified.ID == "" {
			t.Errorf("the token is known as %+v", verified.Token)
		}
	}

	// A logout ends one older token.
	testkit.Must(t, r.store.RevokeToken(ctx, testkit.Value(r.both.Identify(ctx, older))(t)))
	r.want(t, r.both, revoke.ErrRevoked, older)
	r.want(t, r.both, nil, sameUsers, others, newer)

	// A password change ends every token of the user, and the user signs in again at once. A place
	// that still signs the older kind has shut this user out.
	testkit.Value(r.store.RevokeUser(ctx, r.both.User("42")))(t)
	r.want(t, r.both, revoke.ErrRevoked, older, sameUsers, newer, r.older(t, 42, 3))
	r.want(t, r.both, nil, others, r.newer(t, 42))

	// The issuer's revocation reaches tokens that do not name it.
	testkit.Value(r.store.RevokeIssuer(ctx, exampleIssuer))(t)
	r.want(t, r.both, revoke.ErrRevoked, others)
	r.want(t, r.both, nil, r.newer(t, 42), r.newer(t, 7))
}

// TestRolloutDropsOptions drops the options one by one. New tokens stay accepted, revocations of
// before stay in force, and an older token is refused with the claim that it lacks.
func TestRolloutDropsOptions(t *testing.T) {
	t.Parallel()
	r := newRollout(t)
	ctx := t.Context()
	alive, ended, revoked := r.newer(t, 42), r.newer(t, 42), r.newer(t, 7)
	older := r.older(t, 8, 1)
	testkit.Must(t, r.store.RevokeToken(ctx, testkit.Value(r.both.Identify(ctx, ended))(t)))
	testkit.Value(r.store.RevokeUser(ctx, r.both.User("7")))(t)
	again := r.newer(t, 7)

	names := revoke.WithClaimNames(revoke.ClaimNames{Subject: "user_id", Numbers: true})
	newValidator := func(t *testing.T, audience revoke.Audience, opts ...revoke.ValidatorOption) *revoke.Validator {
		t.Helper()
		return testkit.Value(revoke.NewValidator(r.store, exampleIssuer, audience, exampleKeyfunc, []string{"ES256"}, opts...))(t)
	}
	expect := func(t *testing.T, validator *revoke.Validator, missing string) {
		t.Helper()
		r.want(t, validator, nil, alive, again, r.newer(t, 42))
		r.want(t, validator, revoke.ErrRevoked, ended, revoked)
		_, err := validator.Validate(ctx, older)
		testkit.WantError(t, err, revoke.ErrInvalidToken)
		if want := fmt.Sprintf("missing required claim: %q", missing); !strings.Contains(err.Error(), want) {
			t.Errorf("an older token is refused with %q, which does not say %s", err, want)
		}
	}

	// Each by itself, in any order.
	for i, dropped := range rolloutOptions() {
		t.Run(dropped.name, func(t *testing.T) {
			t.Parallel()
			opts := []revoke.ValidatorOption{names, revoke.WithEpochClaim()}
			for j, kept := range rolloutOptions() {
				if i != j {
					opts = append(opts, kept.option)
				}
			}
			expect(t, newValidator(t, revoke.AnyAudience(), opts...), dropped.missing)
		})
	}
	t.Run("AnyAudience", func(t *testing.T) {
		t.Parallel()
		opts := []revoke.ValidatorOption{names}
		for _, kept := range rolloutOptions() {
			opts = append(opts, kept.option)
		}
		expect(t, newValidator(t, revoke.AudienceOf("api"), opts...), "aud")
	})
	t.Run("WithClaimNames", func(t *testing.T) {
		t.Parallel()
		var opts []revoke.ValidatorOption
		for _, kept := range rolloutOptions() {
			opts = append(opts, kept.option)
		}
		expect(t, newValidator(t, revoke.AnyAudience(), opts...), "sub")
	})
	t.Run("all but the names", func(t *testing.T) {
		t.Parallel()
		expect(t, newValidator(t, revoke.AudienceOf("api"), names, revoke.WithEpochClaim()), "iss")
	})
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		strict := testkit.Value(newStrictValidator(r.store))(t)
		expect(t, strict, "iss")
		// Tokens without user_id now stand beside those with it.
		user := strict.User("42")
		epochs := testkit.Value(r.store.Epochs(ctx, user))(t)
		r.want(t, strict, nil, rolloutSign(t, testkit.Value(revoke.NewClaims(user, time.Minute, revoke.AudienceOf("api"), epochs))(t)))
	})
}
