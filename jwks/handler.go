package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/session"
)

// HandlerMaxAge is for how long others may keep what [Handler] answers. A key that is to sign
// stands in the set for that long before, and for longer where verifiers fetch less often:
// [New] fetches after [DefaultRefreshInterval], and at once for a kid that it does not know.
const HandlerMaxAge = 5 * time.Minute

// retryAfter is Retry-After of an answer of 503.
const retryAfter = 5 * time.Second

// PublicKeys returns the keys to publish. [*session.Sessions] implements it.
type PublicKeys interface {
	PublicKeys(ctx context.Context) ([]session.PublicKey, error)
}

// HandlerOption configures [Handler].
type HandlerOption func(*handler) error

// WithHandlerReport sets a function that gets the error behind each answer of 503, for logs. It is
// called from several goroutines. Default: none.
func WithHandlerReport(report func(r *http.Request, err error)) HandlerOption {
	return func(h *handler) error {
		if report == nil {
			return errors.New("report is nil")
		}
		h.report = report
		return nil
	}
}

// Handler publishes the keys of an app that signs its own tokens as a JWKS (RFC 7517 §5), for
// services that verify them. The keys are asked for at each request, for 10 s at most, so a new one
// needs no restart. Secrets of HMAC and private keys are never published.
//
// It answers GET and HEAD:
//   - 200 with application/jwk-set+json, which caches may keep for [HandlerMaxAge];
//   - 503 with Retry-After where the keys cannot be had, or one of them is not a public key.
//     No cache keeps it;
//   - 405 to another method.
//
// Mount it where anyone may read it, commonly at /.well-known/jwks.json. The error says which
// argument is wrong. The handler may be used from several goroutines.
func Handler(keys PublicKeys, opts ...HandlerOption) (http.Handler, error) {
	if absent.Is(keys) {
		return nil, errors.New("jwks: Handler: keys is nil")
	}
	h := &handler{keys: keys, report: func(*http.Request, error) {}}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("jwks: Handler: an option is nil")
		}
		if err := opt(h); err != nil {
			return nil, fmt.Errorf("jwks: Handler: %w", err)
		}
	}
	return h, nil
}

type handler struct {
	keys   PublicKeys
	report func(*http.Request, error)
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		header.Set("Cache-Control", "no-store")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	set, err := h.set(r.Context())
	if err != nil {
		h.report(r, fmt.Errorf("jwks: Handler: %w", err))
		header.Set("Cache-Control", "no-store")
		header.Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	header.Set("Content-Type", "application/jwk-set+json")
	header.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(HandlerMaxAge.Seconds())))
	_, _ = w.Write(set) // net/http leaves the body out for HEAD; the client may have left
}

// set returns the JWKS.
func (h *handler) set(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	keys, err := h.keys.PublicKeys(ctx)
	if err != nil {
		return nil, err
	}
	set := jwkset.JWKSMarshal{Keys: make([]jwkset.JWKMarshal, len(keys))}
	for i, key := range keys {
		switch key.Key.(type) {
		case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
		default:
			return nil, fmt.Errorf("key %d of %d is a %T, which is not published", i+1, len(keys), key.Key)
		}
		jwk, err := jwkset.NewJWKFromKey(key.Key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{
			KID: key.ID, ALG: jwkset.ALG(key.Algorithm), USE: jwkset.UseSig,
		}})
		if err != nil {
			return nil, fmt.Errorf("key %d of %d: %w", i+1, len(keys), err)
		}
		set.Keys[i] = jwk.Marshal()
	}
	return json.Marshal(set)
}
