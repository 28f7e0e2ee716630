package jwks_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/jwks"
	"github.com/pgrevoke/revoke/revoketest"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// provider is an identity provider on loopback. Its JWKS has the key of testkit under some kids.
type provider struct {
	*httptest.Server
	answer  atomic.Pointer[string] // instead of the keys; a status if it is a number
	kids    atomic.Pointer[[]string]
	fetches atomic.Int64
	block   atomic.Pointer[chan struct{}] // an answer waits for it to be closed
}

func newProvider(t *testing.T, kids ...string) *provider {
	t.Helper()
	point := testkit.Value(testkit.TestKeys().EC.PublicKey.Bytes())(t)
	encode := base64.RawURLEncoding.EncodeToString
	p := &provider{}
	p.kids.Store(&kids)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.fetches.Add(1)
		if block := p.block.Load(); block != nil {
			<-*block
		}
		if answer := p.answer.Load(); answer != nil {
			if *answer == "502" {
				http.Error(w, "out of order", http.StatusBadGateway)
				return
			}
			_, _ = fmt.Fprint(w, *answer)
			return
		}
		var keys []string
		for _, kid := range *p.kids.Load() {
			keys = append(keys, fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":%q,"alg":"ES256","use":"sig","x":%q,"y":%q}`,
				kid, encode(point[1:33]), encode(point[33:])))
		}
		_, _ = fmt.Fprintf(w, `{"keys":[%s]}`, strings.Join(keys, ","))
	}))
	t.Cleanup(p.Close)
	return p
}

// fail has the provider answer so, and "" as it should.
func (p *provider) fail(answer string) {
	if answer == "" {
		p.answer.Store(nil)
		return
	}
	p.answer.Store(&answer)
}

// keys returns the provider's keys, which end with the test.
func (p *provider) keys(t *testing.T, opts ...jwks.Option) *jwks.Keys {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	return testkit.Value(jwks.New(ctx, p.URL, opts...))(t)
}

// always fetches for each unknown kid.
var always = jwks.WithUnknownKeyInterval(1)

func validator(t *testing.T, keys *jwks.Keys) *revoke.Validator {
	t.Helper()
	return testkit.Value(revoke.NewValidator(revoketest.NewMemory(), testkit.Issuer, revoke.AnyAudience(), keys.Keyfunc, []string{"ES256"}))(t)
}

// sign returns a token of the provider, with this kid in its header, and with none if it is empty.
func sign(t *testing.T, kid string) string {
	t.Helper()
	user := revoke.User{Issuer: testkit.Issuer, Subject: "ada"}
	claims := testkit.Value(revoke.NewClaims(user, time.Minute, revoke.AnyAudience(), revoke.Epochs{}))(t)
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	return testkit.Value(token.SignedString(testkit.TestKeys().EC))(t)
}

// wants validates a token of this kid. A nil error means that it is accepted.
func wants(t *testing.T, v *revoke.Validator, kid string, want error) {
	t.Helper()
	_, err := v.Validate(context.WithoutCancel(t.Context()), sign(t, kid))
	if want == nil {
		testkit.Must(t, err)
		return
	}
	testkit.WantError(t, err, want)
	if strings.Contains(err.Error(), kid) && kid != "" {
		t.Errorf("the kid is quoted: %v", err)
	}
}

func TestKnownAndUnknownKids(t *testing.T) {
	t.Parallel()
	v := validator(t, newProvider(t, "one", "two").keys(t))
	wants(t, v, "one", nil)
	wants(t, v, "two", nil)
	wants(t, v, "", nil)
	wants(t, v, "kid-three", revoke.ErrInvalidToken)
}

// outages are answers that are no keys.
var outages = map[string]string{
	"a status":           "502",
	"no JSON":            "<html>maintenance</html>",
	"an error in JSON":   `{"error":"try again"}`,
	"an empty set":       `{"keys":[]}`,
	"unsupported keys":   `{"keys":[{"kty":"OKP","crv":"Ed448","kid":"one","x":"AAAA"}]}`,
	"more than it takes": `{"keys":[` + strings.Repeat(" ", 1<<20) + `]}`,
	"cut short":          `{"keys":[`,
}

// TestStartedDuringAnOutage starts while there are no keys. They come later.
func TestStartedDuringAnOutage(t *testing.T) {
	t.Parallel()
	for name, answer := range outages {
		for _, kid := range []string{"one", ""} {
			t.Run(name+"/kid "+kid, func(t *testing.T) {
				t.Parallel()
				p := newProvider(t, "one")
				p.fail(answer)
				var reported atomic.Int64
				v := validator(t, p.keys(t, always, jwks.WithReport(func(error) { reported.Add(1) })))
				wants(t, v, kid, revoke.ErrUnavailable)
				wants(t, v, "kid-three", revoke.ErrUnavailable)
				if n := reported.Load(); n != 3 {
					t.Errorf("%d reports of 3 fetches that failed", n)
				}
				p.fail("")
				wants(t, v, kid, nil)
				wants(t, v, "kid-three", revoke.ErrInvalidToken)
			})
		}
	}
	t.Run("nothing listens", func(t *testing.T) {
		t.Parallel()
		p := newProvider(t, "one")
		p.Close()
		v := validator(t, p.keys(t))
		wants(t, v, "one", revoke.ErrUnavailable)
	})
}

// TestOutage keeps the keys that it has, and refuses no other one for good.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, answer := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, "one")
			v := validator(t, p.keys(t, always))
			p.fail(answer)
			for range 2 {
				wants(t, v, "kid-two", revoke.ErrUnavailable)
				wants(t, v, "one", nil)
				wants(t, v, "", nil)
			}
			p.fail("")
			p.kids.Store(&[]string{"kid-two"})
			wants(t, v, "kid-two", nil)
			wants(t, v, "one", revoke.ErrInvalidToken) // withdrawn
		})
	}
}

// TestMadeUpKids sends tokens of unknown kids. Only the first of them reaches the provider.
func TestMadeUpKids(t *testing.T) {
	t.Parallel()
	t.Run("the provider answers", func(t *testing.T) {
		t.Parallel()
		p := newProvider(t, "one")
		v := validator(t, p.keys(t, jwks.WithUnknownKeyInterval(time.Hour)))
		for i := range 20 {
			wants(t, v, fmt.Sprint("kid-", i), revoke.ErrInvalidToken)
		}
		if n := p.fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
	t.Run("the provider is down", func(t *testing.T) {
		t.Parallel()
		p := newProvider(t, "one")
		p.fail("502")
		v := validator(t, p.keys(t, jwks.WithUnknownKeyInterval(time.Hour)))
		for i := range 20 {
			wants(t, v, fmt.Sprint("kid-", i), revoke.ErrUnavailable)
		}
		if n := p.fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

// TestANewKeyIsFetchedOnce validates many tokens of a new key at the same moment. All of them
// wait for the one fetch, and none is refused.
func TestANewKeyIsFetchedOnce(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "one")
	keys := p.keys(t, jwks.WithUnknownKeyInterval(time.Nanosecond))
	v := validator(t, keys)
	p.kids.Store(&[]string{"one", "kid-two"})
	block := make(chan struct{})
	p.block.Store(&block)
	var group sync.WaitGroup
	for range 16 {
		text := sign(t, "kid-two")
		group.Go(func() {
			if _, err := v.Validate(t.Context(), text); err != nil {
				t.Error(err)
			}
		})
	}
	testkit.Eventually(t, "a fetch", func() bool { return p.fetches.Load() == 2 })
	close(block)
	group.Wait()
	if n := p.fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

// TestRefresh fetches without being asked.
func TestRefresh(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "one")
	v := validator(t, p.keys(t, jwks.WithRefreshInterval(time.Millisecond), jwks.WithUnknownKeyInterval(time.Hour)))
	p.kids.Store(&[]string{"kid-two"})
	text := sign(t, "kid-two")
	testkit.Eventually(t, "the new key is known", func() bool {
		_, err := v.Validate(t.Context(), text)
		return err == nil
	})
}

// TestRefreshAfterAnOutage has the keys come by the refresh. From then on an unknown kid is
// known to be unknown, although nothing was fetched for it.
func TestRefreshAfterAnOutage(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "one")
	p.fail("502")
	v := validator(t, p.keys(t, jwks.WithRefreshInterval(time.Millisecond), jwks.WithUnknownKeyInterval(time.Hour)))
	wants(t, v, "one", revoke.ErrUnavailable)
	p.fail("")
	text := sign(t, "one")
	testkit.Eventually(t, "the keys come", func() bool {
		_, err := v.Validate(t.Context(), text)
		return err == nil
	})
	wants(t, v, "kid-two", revoke.ErrInvalidToken)
}

// TestEnd ends the context: the keys stay, and nothing is fetched any more. TestMain sees that
// no goroutine is left.
func TestEnd(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "one")
	ctx, stop := context.WithCancel(t.Context())
	v := validator(t, testkit.Value(jwks.New(ctx, p.URL, always))(t))
	stop()
	wants(t, v, "one", nil)
	wants(t, v, "kid-two", revoke.ErrUnavailable)
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	const address = "https://id.example/keys"
	for _, row := range []struct {
		name, address, want string
		opt                 jwks.Option
	}{
		{"no address", "", "absolute URL", always},
		{"a path", "/keys", "absolute URL", always},
		{"another scheme", "file:///keys", "absolute URL", always},
		{"no URL", "https://%zz", "absolute URL", always},
		{"no option", address, "an option is nil", nil},
		{"no client", address, "client is nil", jwks.WithHTTPClient(nil)},
		{"no report", address, "report is nil", jwks.WithReport(nil)},
		{"no interval", address, "refresh interval 0s", jwks.WithRefreshInterval(0)},
		{"no interval for unknown keys", address, "unknown keys 0s", jwks.WithUnknownKeyInterval(0)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			keys, err := jwks.New(t.Context(), row.address, row.opt)
			if keys != nil || err == nil || !strings.HasPrefix(err.Error(), "jwks: New: ") || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, %v, want %s", keys, err, row.want)
			}
		})
	}
}

// TestWithHTTPClient fetches by a client of the app's, also from a server with a certificate that
// only this client trusts.
func TestWithHTTPClient(t *testing.T) {
	t.Parallel()
	plain := newProvider(t, "one")
	secured := httptest.NewTLSServer(plain.Config.Handler)
	t.Cleanup(secured.Close)
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	client := secured.Client()
	t.Cleanup(client.CloseIdleConnections)
	wants(t, validator(t, testkit.Value(jwks.New(ctx, secured.URL, jwks.WithHTTPClient(client)))(t)), "one", nil)
	if _, same := client.Transport.(*http.Transport); !same {
		t.Errorf("the app's client was changed: %T", client.Transport)
	}
}

func TestAKidThatIsNoText(t *testing.T) {
	t.Parallel()
	v := validator(t, newProvider(t, "one").keys(t))
	text := testkit.SignRaw(t, "ES256", `{"alg":"ES256","kid":7}`, testkit.Payload(nil))
	_, err := v.Validate(t.Context(), text)
	testkit.WantError(t, err, revoke.ErrInvalidToken)
	if !errors.Is(err, jwt.ErrTokenUnverifiable) {
		t.Error(err)
	}
}

// TestKeysOfOtherUses answers with a key that verifies the token's signature, and says of it that
// it is for something else. The maker of a token may leave the kid out.
func TestKeysOfOtherUses(t *testing.T) {
	t.Parallel()
	const other = `{"kty":"OKP","crv":"Ed25519","kid":"kid-ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	for _, row := range []struct {
		name, members string
		accepted      bool
	}{
		{"no use", ``, true},
		{"signatures", `"use":"sig","key_ops":["verify"],"alg":"ES256",`, true},
		{"encryption", `"use":"enc",`, false},
		{"derivation", `"key_ops":["deriveKey"],`, false},
		{"another algorithm", `"alg":"ES384",`, false},
		{"key agreement", `"alg":"ECDH-ES","use":"enc",`, false},
	} {
		for _, kid := range []string{"one", ""} {
			t.Run(row.name+"/kid "+kid, func(t *testing.T) {
				t.Parallel()
				p := newProvider(t)
				point := testkit.Value(testkit.TestKeys().EC.PublicKey.Bytes())(t)
				encode := base64.RawURLEncoding.EncodeToString
				p.fail(fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256",%s"kid":"one","x":%q,"y":%q},%s]}`,
					row.members, encode(point[1:33]), encode(point[33:]), other))
				v := validator(t, p.keys(t))
				if !row.accepted {
					if _, err := v.Validate(context.WithoutCancel(t.Context()), sign(t, kid)); err == nil {
						t.Error("a token is accepted by a key that is not for it")
					}
					return
				}
				wants(t, v, kid, nil)
				wants(t, v, "kid-ed", revoke.ErrInvalidToken) // no fault of the server
			})
		}
	}
}
