// Package jwks takes the keys of a validator from a JWKS, which an identity provider publishes
// (RFC 7517 §5). It adapts github.com/MicahParks/keyfunc, which fetches the keys and picks the
// token's, and tells two cases apart that look alike to keyfunc: a kid that the provider does
// not have, and a provider that did not answer. The first is the token's fault. The second
// must not sign its users out.
package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"github.com/pgrevoke/revoke"
)

const (
	// DefaultRefreshInterval is of WithRefreshInterval: within it a key that the provider withdraws
	// is no longer accepted.
	DefaultRefreshInterval = time.Hour
	// DefaultUnknownKeyInterval is of WithUnknownKeyInterval: short enough for a key that the
	// provider begins to use before caches have it, and no load for any provider.
	DefaultUnknownKeyInterval = 10 * time.Second

	// timeout bounds one fetch, for which a request waits.
	timeout = 10 * time.Second
	// maxBody bounds a JWKS, in bytes. Those of large providers have some 10 KiB.
	maxBody = 1 << 20
)

// Keys are the keys of one JWKS. They may be used from several goroutines.
type Keys struct {
	ctx    context.Context //nolint:containedctx // it bounds the life of keyfunc's goroutine, as keyfunc keeps it
	held   *heldKeys
	remote jwkset.Storage // fetches the JWKS when it is asked for a kid that held lacks
	picker keyfunc.Keyfunc
	options

	fetching sync.Mutex // held while a fetch for an unknown kid runs
	fetched  time.Time  // when the last such fetch ended; guarded by fetching

	mu     sync.Mutex
	outage error // of the last fetch, nil if that succeeded
}

// New returns the keys at an address, an absolute URL of http or https. It fetches them, for 10
// s at most, and starts a goroutine that does so again at each refresh interval and ends with
// ctx. An address that does not answer is no error: the program starts, and tokens are
// revoke.ErrUnavailable until the keys have come. The error says which argument is wrong.
//
// Keys that were fetched stay until a later fetch succeeds, so tokens with a known kid are
// accepted through an outage. An answer without any key counts as an outage. Once ctx has ended
// nothing is fetched any more.
func New(ctx context.Context, address string, opts ...Option) (*Keys, error) {
	k := &Keys{
		ctx:     ctx,
		options: options{new(http.Client), DefaultRefreshInterval, DefaultUnknownKeyInterval, func(error) {}},
	}
	k.held = &heldKeys{jwkset.NewMemoryStorage(), func() { k.setOutage(nil) }}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("jwks: New: an option is nil")
		}
		if err := opt(&k.options); err != nil {
			return nil, fmt.Errorf("jwks: New: %w", err)
		}
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("jwks: New: the address is no absolute URL of http or https")
	}
	client := *k.client
	if client.Transport == nil {
		// Connections that stay open for the next fetch would outlive ctx.
		client.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	}
	client.Transport = boundedBodies{client.Transport}
	source, err := jwkset.NewStorageFromHTTP(address, jwkset.HTTPClientStorageOptions{
		Ctx: ctx, Client: &client, HTTPTimeout: timeout, Storage: k.held,
		NoErrorReturnFirstHTTPReq: true,
		RefreshErrorHandler:       func(_ context.Context, err error) { k.failed(err) },
		RefreshInterval:           k.refreshInterval,
	})
	if err == nil {
		k.remote, err = jwkset.NewHTTPClient(jwkset.HTTPClientOptions{
			HTTPURLs: map[string]jwkset.Storage{address: source},
			// The method fetch has the limit, so that no request waits for its turn.
			RefreshUnknownKID: rate.NewLimiter(rate.Inf, 1),
			RateLimitWaitMax:  timeout, // which bounds the fetch too
		})
	}
	if err == nil {
		k.picker, err = keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: k.held})
	}
	if err != nil {
		return nil, fmt.Errorf("jwks: New: %w", err)
	}
	k.fetched = time.Now()
	return k, nil
}

// Keyfunc returns the key of the token's kid, or all keys for the token's algorithm if it has no
// kid. Keys that are not for signatures, by their use or key_ops, are never returned. It is a
// jwt.Keyfunc. A kid that is not known makes it fetch the JWKS, at most once in the interval of
// [WithUnknownKeyInterval], and all tokens of that moment wait for the one fetch.
//
// The error matches revoke.ErrUnavailable if the last fetch failed. It contains nothing of the
// token. For a token without a kid a withdrawn or a new key is noticed at the refresh interval
// only.
func (k *Keys) Keyfunc(token *jwt.Token) (any, error) {
	value, named := token.Header["kid"]
	kid, isText := value.(string)
	if named && !isText {
		return nil, errors.New("jwks: the kid is no string")
	}
	if !k.has(kid, named) {
		if err := k.fetch(kid, named); err != nil {
			return nil, fmt.Errorf("%w: jwks: the keys cannot be fetched: %w", revoke.ErrUnavailable, err)
		}
		if !k.has(kid, named) {
			return nil, errUnknown
		}
	}
	if !named {
		return k.pick(token.Method)
	}
	if !k.fitsOrNoneDoes(kid, token.Method) {
		return nil, errOtherKey
	}
	key, err := k.picker.Keyfunc(token)
	if errors.Is(err, jwkset.ErrKeyNotFound) {
		return nil, errUnknown // withdrawn meanwhile; keyfunc's error quotes the kid
	}
	return key, err
}

var (
	errUnknown  = errors.New("jwks: the provider has no key of the token's kid")
	errOtherKey = errors.New("jwks: the provider's key is for another algorithm than the token's")
)

// pick returns the keys for a method, for a token without a kid. If there is none, the keys of
// other types are returned for the validator to judge, which knows the allowed algorithms.
func (k *Keys) pick(method jwt.SigningMethod) (any, error) {
	all, err := k.held.KeyReadAll(k.ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: jwks: %w", revoke.ErrUnavailable, err)
	}
	var fitting, foreign jwt.VerificationKeySet
	for _, jwk := range all {
		switch {
		case !isOfType(jwk, method):
			foreign.Keys = append(foreign.Keys, jwk.Key())
		case isFor(jwk, method):
			fitting.Keys = append(fitting.Keys, jwk.Key())
		}
	}
	switch {
	case len(fitting.Keys) > 0:
		return fitting, nil
	case len(foreign.Keys) == 0:
		return nil, errOtherKey
	}
	return foreign, nil
}

// fitsOrNoneDoes reports whether the key of this kid is for a method, or no key is. The maker of
// a token chooses the kid, and a key of another type is no fault of the server while there is one
// for the method.
func (k *Keys) fitsOrNoneDoes(kid string, method jwt.SigningMethod) bool {
	jwk, err := k.held.KeyRead(k.ctx, kid)
	if err != nil || isOfType(jwk, method) {
		return true // of a key of the type, keyfunc compares alg
	}
	all, err := k.held.KeyReadAll(k.ctx)
	return err == nil && !slices.ContainsFunc(all, func(jwk jwkset.JWK) bool { return isFor(jwk, method) })
}

// isFor reports whether a key is for a method: of its type, and with its alg or none.
func isFor(jwk jwkset.JWK, method jwt.SigningMethod) bool {
	alg := jwk.Marshal().ALG.String()
	return isOfType(jwk, method) && (alg == "" || alg == method.Alg())
}

// isOfType reports whether a method verifies with keys of this type.
func isOfType(jwk jwkset.JWK, method jwt.SigningMethod) bool {
	ok := true // a method of the app's knows its keys itself
	switch method.(type) {
	case *jwt.SigningMethodHMAC:
		_, ok = jwk.Key().([]byte)
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		_, ok = jwk.Key().(*rsa.PublicKey)
	case *jwt.SigningMethodECDSA:
		_, ok = jwk.Key().(*ecdsa.PublicKey)
	case *jwt.SigningMethodEd25519:
		_, ok = jwk.Key().(ed25519.PublicKey)
	}
	return ok
}

// has reports whether there is a key of this kid, or any key for a token without one.
func (k *Keys) has(kid string, named bool) bool {
	if !named {
		all, err := k.held.KeyReadAll(k.ctx)
		return err == nil && len(all) > 0
	}
	_, err := k.held.KeyRead(k.ctx, kid)
	return err == nil
}

// fetch fetches the JWKS unless that was done within the interval, or another call has brought
// the key meanwhile. It returns why the last fetch failed.
func (k *Keys) fetch(kid string, named bool) error {
	k.fetching.Lock()
	defer k.fetching.Unlock()
	if k.has(kid, named) {
		return nil
	}
	if time.Since(k.fetched) < k.unknownInterval {
		return k.lastOutage()
	}
	// A fetch that fails is reported to failed. Other errors are of a ctx that has ended.
	if _, err := k.remote.KeyRead(k.ctx, kid); err != nil && !errors.Is(err, jwkset.ErrKeyNotFound) {
		k.failed(err)
	}
	k.fetched = time.Now()
	return k.lastOutage()
}

// failed notes and reports a fetch that failed.
func (k *Keys) failed(err error) {
	k.setOutage(err)
	k.report(err)
}

func (k *Keys) setOutage(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.outage = err
}

func (k *Keys) lastOutage() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.outage
}

// heldKeys are the keys of the last fetch that succeeded.
type heldKeys struct {
	*jwkset.MemoryJWKSet
	succeeded func() // called at each
}

// KeyReplaceAll leaves out keys that are not for signatures (RFC 7517 §4.2, §4.3). It refuses an
// answer without keys, with which all tokens would be of unknown keys.
func (h *heldKeys) KeyReplaceAll(ctx context.Context, keys []jwkset.JWK) error {
	keys = slices.DeleteFunc(slices.Clone(keys), func(jwk jwkset.JWK) bool {
		m := jwk.Marshal()
		return m.USE != "" && m.USE != jwkset.UseSig || len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify)
	})
	if len(keys) == 0 {
		return errors.New("the JWKS has no key that is supported")
	}
	h.succeeded()
	return h.MemoryJWKSet.KeyReplaceAll(ctx, keys)
}

// boundedBodies ends bodies after maxBody.
type boundedBodies struct{ http.RoundTripper }

func (b boundedBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxBody)
	}
	return response, err
}
