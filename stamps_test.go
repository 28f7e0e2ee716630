package revoke_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"pgregory.net/rapid"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
	"github.com/pgrevoke/revoke/revoketest"
)

const second = int64(time.Second / time.Microsecond)

// rounding is how an issuer makes an iat of its clock, in microseconds.
type rounding struct {
	name  string
	stamp func(t int64) int64
	ahead int64 // by how much it puts a stamp ahead at most
}

var roundings = []rounding{
	{"rounds down", floorSecond, 0},
	{"rounds", func(t int64) int64 { return floorSecond(t + second/2) }, second / 2},
	{"rounds up", func(t int64) int64 { return floorSecond(t + second - 1) }, second - 1},
	{"writes fractions", func(t int64) int64 { return t }, 0}, // which a validator rounds down
}

// stampSkews are what validators may declare, in microseconds.
func stampSkews() *rapid.Generator[int64] {
	least, most := -revoke.MaxIssuerLag.Microseconds(), revoke.MaxIssuerSkew.Microseconds()
	return rapid.OneOf(rapid.Int64Range(-2*second, 6*second), rapid.Int64Range(least, most))
}

// stampedToken is a token of the property, and what is known of it.
type stampedToken struct {
	text     string
	iat      int64 // as the claim says, without its fraction
	minted   int64 // by the store's clock
	accepted bool  // at least once
	revoked  bool  // after it was accepted, or after it was issued where the skew is right
}

// stampWorld has an issuer, a validator and a store, each with a clock of its own. Times are
// microseconds since 1970.
type stampWorld struct {
	now                      atomic.Int64
	ofIssuer, ofStore, ofApp int64 // what their clocks add
	round                    rounding
	skew                     int64 // declared
	right                    bool  // the declared skew is not too small
	ahead                    int64 // by how much stamps are ahead of the store's clock at most
	store                    *revoketest.Memory
	validator                *revoke.Validator
	tokens                   []*stampedToken
	epochs                   []int64
}

func (w *stampWorld) clock(adds int64) func() time.Time {
	return func() time.Time { return time.UnixMicro(w.now.Load() + adds) }
}

func newStampWorld(t *rapid.T) *stampWorld {
	w := &stampWorld{round: rapid.SampledFrom(roundings).Draw(t, "rounding")}
	w.now.Store(testkit.Now.UnixMicro() + rapid.Int64Range(0, second).Draw(t, "begin"))
	w.ofIssuer = rapid.OneOf(rapid.Int64Range(-3*second, 3*second), rapid.Int64Range(-320*second, 40*second)).Draw(t, "issuer's clock")
	w.ofStore = rapid.Int64Range(-3*second, 3*second).Draw(t, "store's clock")
	w.ofApp = rapid.Int64Range(-20*second, 20*second).Draw(t, "validator's clock")
	w.ahead = w.ofIssuer - w.ofStore + w.round.ahead
	w.skew = stampSkews().Draw(t, "skew")
	if most := revoke.MaxIssuerSkew.Microseconds(); w.ahead <= most && rapid.Bool().Draw(t, "right") {
		w.skew = rapid.OneOf(rapid.Just(max(w.ahead, -revoke.MaxIssuerLag.Microseconds())), rapid.Int64Range(w.ahead, most)).Draw(t, "right skew")
	}
	w.right = w.skew >= w.ahead
	option := revoke.WithIssueTime()
	if w.skew != 0 {
		option = revoke.WithIssuerSkew(time.Duration(w.skew) * time.Microsecond)
	}
	w.store = revoketest.NewMemory(revoketest.WithClock(w.clock(w.ofStore)))
	validator, err := revoke.NewValidator(w.store, testkit.Issuer, revoke.AnyAudience(), testkit.Keyfunc("HS256"), []string{"HS256"},
		option, revoke.WithClock(w.clock(w.ofApp)), revoke.WithLeeway(revoke.MaxLeeway))
	if err != nil {
		t.Fatal(err)
	}
	w.validator = validator
	return w
}

// mint signs a token by the issuer's clock.
func (w *stampWorld) mint(t *rapid.T) {
	iat := w.round.stamp(w.now.Load() + w.ofIssuer)
	number := strconv.FormatFloat(float64(iat)/float64(second), 'f', 6, 64)
	payload := fmt.Sprintf(`{"iss":%q,"sub":"ada","jti":"%d","iat":%s,"exp":%d}`, testkit.Issuer, len(w.tokens), number, testkit.Now.Add(time.Hour).Unix())
	text := testkit.Base64(`{"alg":"HS256"}`) + "." + testkit.Base64(payload)
	signature, err := jwt.SigningMethodHS256.Sign(text, testkit.TestKeys().Secret)
	if err != nil {
		t.Fatal(err)
	}
	text += "." + testkit.Base64(string(signature))
	w.tokens = append(w.tokens, &stampedToken{text: text, iat: floorSecond(iat), minted: w.now.Load() + w.ofStore})
}

// revoke revokes the user or the issuer. From then on nothing that was accepted may be accepted,
// and nothing that was issued, if the skew is right.
func (w *stampWorld) revoke(t *rapid.T) {
	user := revoke.User{Issuer: testkit.Issuer, Subject: "ada"}
	var since int64
	if rapid.Bool().Draw(t, "of the user") {
		epochs, err := w.store.RevokeUser(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		since = epochs.User
	} else {
		at, err := w.store.RevokeIssuer(t.Context(), testkit.Issuer)
		if err != nil {
			t.Fatal(err)
		}
		since = at.UnixMicro()
	}
	w.epochs = append(w.epochs, since)
	for _, token := range w.tokens {
		token.revoked = token.revoked || token.accepted || w.right
	}
}

// check validates every token, and compares the answer with the promise and with the rule.
func (w *stampWorld) check(t *rapid.T) {
	clock := w.now.Load() + w.ofStore
	for _, token := range w.tokens {
		_, err := w.validator.Validate(t.Context(), token.text)
		stamp := token.iat - w.skew
		dead := false
		for _, epoch := range w.epochs {
			dead = dead || stamp < epoch
		}
		switch {
		case token.revoked && !errors.Is(err, revoke.ErrRevoked):
			t.Fatalf("a token that was accepted or issued before a revocation: %v", err)
		case dead != errors.Is(err, revoke.ErrRevoked), !dead && (stamp > clock) != errors.Is(err, revoke.ErrInvalidToken),
			!dead && stamp <= clock && err != nil:
			t.Fatalf("stamp %d, epochs %v, clock %d: %v", stamp, w.epochs, clock, err)
		case w.right && err != nil && w.isLate(token):
			t.Fatalf("a sign-in a - d + 1 s after every revocation is refused: %v", err)
		case len(w.epochs) == 0 && err != nil && clock >= token.minted+w.ahead-w.skew:
			t.Fatalf("nothing was revoked, and a token that is ahead by d > a is refused for longer than d - a: %v", err)
		}
		token.accepted = token.accepted || err == nil
	}
}

// isLate reports whether the token was issued when the time was over for which revocations
// refuse new sign-ins.
func (w *stampWorld) isLate(token *stampedToken) bool {
	for _, epoch := range w.epochs {
		if token.minted < epoch+w.skew-w.ahead+second {
			return false
		}
	}
	return true
}

// TestStamps draws issuers that stamp in every way, clocks that differ, and skews that are
// right and wrong. What was accepted before a revocation is refused after it, and under a right
// skew what was issued before it. New sign-ins are refused for as long as the documentation
// says.
func TestStamps(t *testing.T) {
	t.Parallel()
	var accepted, refused, late atomic.Int64
	for range testkit.Long(20, 400) { // times a hundred
		rapid.Check(t, func(t *rapid.T) {
			w := newStampWorld(t)
			for range rapid.IntRange(1, 12).Draw(t, "steps") {
				switch rapid.IntRange(0, 4).Draw(t, "step") {
				case 0, 1:
					w.mint(t)
				case 2:
					w.revoke(t)
				case 3:
					w.now.Add(rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, 3*second), rapid.Int64Range(0, 40*second)).Draw(t, "passed"))
				}
				w.check(t)
			}
			for _, token := range w.tokens {
				switch {
				case token.revoked:
					refused.Add(1)
				case token.accepted && len(w.epochs) > 0 && w.right && w.isLate(token):
					late.Add(1)
				case token.accepted:
					accepted.Add(1)
				}
			}
		})
	}
	if t.Logf("%d tokens refused for a revocation, %d of a new sign-in accepted, %d others accepted",
		refused.Load(), late.Load(), accepted.Load()); refused.Load() == 0 || late.Load() == 0 || accepted.Load() == 0 {
		t.Error("the worlds prove nothing")
	}
}

// TestStampsOfEverySecond goes through every combination of rounding, offset, skew, check and
// revocation on a grid of quarters of a second, in which equal instants are frequent.
func TestStampsOfEverySecond(t *testing.T) {
	t.Parallel()
	const quarter = second / 4
	start := testkit.Now.UnixMicro()
	cases, aheadAlive, issuedAlive := 0, 0, 0
	for _, round := range roundings {
		for offset := -3 * second; offset <= 3*second; offset += quarter {
			for skew := -2 * second; skew <= 2*second; skew += second {
				for minted := start; minted < start+2*second; minted += quarter {
					token := stamped(round.stamp(minted + offset))
					token.IssuerSkew = time.Duration(skew) * time.Microsecond
					if skew == 0 {
						token.IssuerSkew = revoke.NoIssuerSkew
					}
					v := verdictOf(token)
					right := offset+round.ahead <= skew
					for checked := minted; checked < minted+3*second; checked += quarter {
						acceptable := !v.Ahead(time.UnixMicro(checked))
						for revoked := checked; revoked < checked+2*second; revoked += quarter {
							after := v
							after.Found(userPlace, revoked+1) // in the same instant at the earliest
							alive := !after.Refuses(userPlace)
							cases++
							switch {
							case alive && acceptable:
								t.Fatalf("%s, offset %d, skew %d: minted at %d, accepted at %d, revoked at %d: alive",
									round.name, offset, skew, minted, checked, revoked)
							case alive && right:
								issuedAlive++
							case alive:
								aheadAlive++
							}
						}
					}
				}
			}
		}
	}
	if issuedAlive != 0 {
		t.Errorf("%d tokens are alive after a revocation that followed their issue, although the skew is right", issuedAlive)
	}
	if t.Logf("%d cases; %d were kept apart by the clock alone", cases, aheadAlive); cases != 384_000 || aheadAlive == 0 {
		t.Error("the grid proves nothing")
	}
}

// checkers are the ways to ask a real Postgres.
func checkers(t *testing.T) (writer revoke.Store, list map[string]revoke.Checker) {
	t.Helper()
	store, pool := testkit.Store(t)
	m := testkit.Value(mirror.New(store))(t)
	ended := make(chan error, 1)
	ctx := t.Context() // which ends before the cleanups
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() { testkit.Must(t, <-ended) })
	testkit.Must(t, m.Ready(ctx))
	return m.Store(), map[string]revoke.Checker{
		"shared queries": store, "a query each": testkit.OpenStore(t, pool, revoke.WithCheckQueries(0)), "mirror": m,
	}
}

// TestStampsOnPostgres checks tokens that are stamped about now, to the microsecond, on a real
// server: what it accepts, it refuses after a revocation.
func TestStampsOnPostgres(t *testing.T) {
	t.Parallel()
	writer, list := checkers(t)
	for name, checker := range list {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			accepted, ahead := 0, 0
			for range testkit.Long(1, 20) {
				rapid.Check(t, func(t *rapid.T) {
					delta := rapid.OneOf(rapid.Int64Range(-20, 2_000), rapid.Int64Range(-2*second, 2*second)).Draw(t, "microseconds from now")
					claim, ofUser := rapid.Bool().Draw(t, "by the epoch claim"), rapid.Bool().Draw(t, "of the user")
					token := testkit.Token()
					if !ofUser {
						token.Issuer += "/" + token.ID
					}
					stamp := time.Now().Truncate(time.Microsecond).Add(time.Duration(delta) * time.Microsecond)
					if claim {
						token.HasEpochs, token.Epochs = true, revoke.Epochs{User: stamp.UnixMicro(), Issuer: stamp.UnixMicro()}
					} else {
						token.IssuedAt = stamp.Truncate(time.Second).Add(2 * time.Second)
						token.IssuerSkew = token.IssuedAt.Sub(stamp)
					}
					err := checker.Check(t.Context(), token)
					switch {
					case err == nil:
						accepted++
					case errors.Is(err, revoke.ErrInvalidToken):
						ahead++
						return
					default:
						t.Fatal(err)
					}
					if ofUser {
						_, err = writer.RevokeUser(t.Context(), token.User())
					} else {
						_, err = writer.RevokeIssuer(t.Context(), token.Issuer)
					}
					if err != nil {
						t.Fatal(err)
					}
					if err := checker.Check(t.Context(), token); !errors.Is(err, revoke.ErrRevoked) {
						t.Fatalf("accepted, and after the revocation: %v", err)
					}
				})
			}
			if accepted == 0 || ahead == 0 {
				t.Errorf("%d accepted and %d ahead prove nothing", accepted, ahead)
			}
		})
	}
}

// TestIssueTimeIsAccepted signs in again after a revocation, at once and many times, by an app
// that has IssueTime and WithIssueTime: each token is accepted, by a mirror too.
func TestIssueTimeIsAccepted(t *testing.T) {
	t.Parallel()
	writer, list := checkers(t)
	validators := map[string]*revoke.Validator{}
	for name, checker := range list {
		validators[name] = testkit.Value(revoke.NewValidator(checker, testkit.Issuer, revoke.AnyAudience(), testkit.Keyfunc("HS256"),
			[]string{"HS256"}, revoke.WithIssueTime()))(t)
	}
	signIn := func(user revoke.User) (string, error) {
		issuedAt, err := writer.IssueTime(t.Context(), user)
		if err != nil {
			return "", err
		}
		claims, err := revoke.NewClaims(user, time.Hour, revoke.AnyAudience(), revoke.Epochs{}, revoke.WithIssuedAt(issuedAt))
		if err != nil {
			return "", err
		}
		return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(testkit.TestKeys().Secret)
	}
	var group sync.WaitGroup
	for i := range testkit.Long(100, 1000) {
		group.Go(func() {
			user := revoke.User{Issuer: testkit.Issuer, Subject: fmt.Sprint("user ", i)}
			before, err := signIn(user)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := writer.RevokeUser(t.Context(), user); err != nil {
				t.Error(err)
				return
			}
			after, err := signIn(user)
			if err != nil {
				t.Error(err)
				return
			}
			for name, validator := range validators {
				if _, err := validator.Validate(t.Context(), after); err != nil {
					t.Errorf("%s: the new token: %v", name, err)
				}
				if _, err := validator.Validate(t.Context(), before); !errors.Is(err, revoke.ErrRevoked) {
					t.Errorf("%s: the old token: %v", name, err)
				}
			}
		})
	}
	group.Wait()
}

// TestLostPairs loses the commit from which a pair of epochs came, and then revokes the user:
// the pair has never been accepted, or is refused.
func TestLostPairs(t *testing.T) {
	t.Parallel()
	writer, list := checkers(t)
	lost := errors.New("the commit is lost")
	for name, checker := range list {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range testkit.Long(20, 200) {
				token := testkit.Token()
				token.HasEpochs = true
				err := writer.InTx(t.Context(), func(tx revoke.Revoker) error {
					testkit.Must(t, tx.RevokeUserBefore(t.Context(), token.User(), time.Now().Add(20*time.Second)))
					token.Epochs = testkit.Value(tx.Epochs(t.Context(), token.User()))(t)
					return lost
				})
				if !errors.Is(err, lost) {
					t.Fatal(err)
				}
				testkit.WantError(t, checker.Check(t.Context(), token), revoke.ErrInvalidToken)
				testkit.Value(writer.RevokeUser(t.Context(), token.User()))(t)
				testkit.WantError(t, checker.Check(t.Context(), token), revoke.ErrInvalidToken)
			}
		})
	}
}
