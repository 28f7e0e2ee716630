package signals

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/logout"
	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Defaults of the options.
const (
	// DefaultRealm is "api".
	DefaultRealm = endpoint.DefaultRealm

	// DefaultRetryAfter is 5 s: about as long as a failover of Postgres takes.
	DefaultRetryAfter = endpoint.DefaultRetryAfter

	// DefaultIssuerLag is none: most providers stamp with the time of a clock that is kept.
	DefaultIssuerLag = time.Duration(0)
)

// ErrBadRequest says that the request does not have the form that it must have. It is answered
// with 400, or with 405 for its method and 413 for a body of more than 64 KiB. The errors of
// this name in packages revokehttp and oauth are the same value.
var ErrBadRequest = endpoint.ErrBadRequest

// Option configures [NewBackChannelLogout], [NewBackChannelLogoutSet] and
// [NewGlobalTokenRevocation]. An option that does not belong to a constructor is an error of it.
type Option func(*options) error

type options struct {
	endpoint.Settings
	constructor string
	record      logout.Record
	issuerLag   time.Duration
	aliases     map[string]string // :: another name of an issuer → its name
}

// The constructors, by name.
const (
	newBackChannelLogout     = "NewBackChannelLogout"
	newBackChannelLogoutSet  = "NewBackChannelLogoutSet"
	newGlobalTokenRevocation = "NewGlobalTokenRevocation"
)

// WithRealm names the protected space in WWW-Authenticate (RFC 9110 §11.5), in printable ASCII
// without quotes and backslashes. It is an option of [NewGlobalTokenRevocation]. Default:
// [DefaultRealm].
func WithRealm(realm string) Option {
	return func(o *options) error {
		if o.constructor != newGlobalTokenRevocation {
			return errors.New("WithRealm is an option of " + newGlobalTokenRevocation + " only")
		}
		return o.SetRealm(realm)
	}
}

// WithRetryAfter sets Retry-After in answers of 503, rounded up to seconds. Default:
// [DefaultRetryAfter].
func WithRetryAfter(d time.Duration) Option {
	return func(o *options) error { return oneline.Join(o.ofReceiver("WithRetryAfter"), o.SetRetryAfter(d)) }
}

// WithIssuerLag says by how much the provider's stamps may lie behind the true time: where it
// stamps into the past by a known span, that span, and how far the clocks of its machines lie
// apart. For Entra, which stamps 300 s back, it is 5 min. A logout of a user ends the tokens
// stamped until so much after the logout's iat, since another machine may have stamped them, but
// none that were issued after its receipt. It goes with the validators' revoke.WithIssuerSkew,
// which is about the other end. Not negative, at most revoke.MaxIssuerLag. It is an option of
// [NewBackChannelLogout]. Default: [DefaultIssuerLag].
func WithIssuerLag(d time.Duration) Option {
	return func(o *options) error {
		if o.constructor != newBackChannelLogout {
			return errors.New("WithIssuerLag is an option of " + newBackChannelLogout + " only")
		}
		if d < 0 || d > revoke.MaxIssuerLag {
			return fmt.Errorf("issuer lag %v is not between 0 and %v", d, revoke.MaxIssuerLag)
		}
		o.issuerLag = d
		return nil
	}
}

// WithIssuerAliases accepts further names of an issuer, such as "accounts.google.com" for
// "https://accounts.google.com": in iss of logout tokens, and in the iss of an "iss_sub" that a
// request names a user by. They are names of one issuer, with the same keys and users, and what a
// logout ends is kept under the issuer. Give it the names of the validators'
// revoke.WithIssuerAliases. issuer is that of [NewBackChannelLogout], or one of those of
// [NewGlobalTokenRevocation], where the option may be given once for each. Default: none.
func WithIssuerAliases(issuer string, names ...string) Option {
	return func(o *options) error {
		err := oneline.Join(o.ofReceiver("WithIssuerAliases"), strictjwt.CheckID("issuer", issuer))
		if len(names) == 0 {
			err = oneline.Join(err, fmt.Errorf("no alias of issuer %q is named", issuer))
		}
		for _, name := range names {
			err = oneline.Join(err, strictjwt.CheckID("issuer alias", name))
			if _, taken := o.aliases[name]; taken || name == issuer {
				err = oneline.Join(err, fmt.Errorf("issuer %q is named twice", name))
			}
			if o.aliases == nil {
				o.aliases = make(map[string]string)
			}
			o.aliases[name] = issuer
		}
		return err
	}
}

// checkAliases reports aliases of other issuers than these, and those that are one of these.
func (o *options) checkAliases(issuers ...string) (err error) {
	for _, alias := range slices.Sorted(maps.Keys(o.aliases)) {
		if issuer := o.aliases[alias]; !slices.Contains(issuers, issuer) {
			err = oneline.Join(err, fmt.Errorf("the alias %q is one of issuer %q, which is none of %q", alias, issuer, issuers))
		}
		if slices.Contains(issuers, alias) {
			err = oneline.Join(err, fmt.Errorf("the alias %q is an issuer of its own", alias))
		}
	}
	return err
}

// issuerNamed returns the issuer of this name, which is another name only if it is an alias.
func (o *options) issuerNamed(name string) string {
	if issuer, ok := o.aliases[name]; ok {
		return issuer
	}
	return name
}

// WithReport sets a function that gets the reason of each refusal, for logs, before the answer is
// written. The error contains no token; the request does. The function is called from several
// goroutines. revokehttp.LogTo makes one that logs. Default: none.
func WithReport(report func(r *http.Request, err error)) Option {
	return func(o *options) error { return o.SetReport(report) }
}

// WithRecord sets reason and actor of the revocation: see revoke.WithReason and revoke.WithActor.
// Default: the reason "back-channel logout" or "global token revocation", and no actor.
func WithRecord(opts ...revoke.RevokeOption) Option {
	return func(o *options) error {
		o.record = opts
		return oneline.Join(o.ofReceiver("WithRecord"), o.record.Check())
	}
}

// ofReceiver refuses an option of a receiver for a set, in which each receiver has its own.
func (o *options) ofReceiver(option string) error {
	if o.constructor == newBackChannelLogoutSet {
		return errors.New(option + " is an option of each receiver of the set")
	}
	return nil
}

// newOptions applies options to the defaults.
func newOptions(constructor string, opts []Option) (options, error) {
	o := options{Settings: endpoint.NewSettings(), constructor: constructor, issuerLag: DefaultIssuerLag}
	err := endpoint.Apply(&o, opts)
	return o, err
}

// receiver is what both handlers share.
type receiver struct {
	options
	store revoke.Store
}

// newReceiver returns a receiver. reason is the default reason of its revocations.
func newReceiver(constructor, reason string, store revoke.Store, opts []Option) (receiver, error) {
	if absent.Is(store) {
		return receiver{}, errors.New("store is nil")
	}
	o, err := newOptions(constructor, opts)
	if err != nil {
		return receiver{}, err
	}
	o.record = o.record.Over(revoke.WithReason(reason))
	return receiver{o, store}, nil
}

// receive answers with status if do returns nil. do returns nil only when the revocation is
// durable. It is called even if the sender has disconnected.
func (rec *receiver) receive(w http.ResponseWriter, r *http.Request, status int, do func(*http.Request) error) {
	r, cancel := logout.Detach(r)
	defer cancel()
	err := do(r)
	if err == nil {
		endpoint.NoStore(w)
		w.WriteHeader(status)
		return
	}
	rec.Report(r, err)
	if answer := (*endpoint.Error)(nil); errors.As(err, &answer) {
		answer.Write(w)
		return
	}
	endpoint.WriteUnavailable(w, r, err, rec.RetryAfter)
}

// failed is the error of a constructor.
func failed(constructor string, err error) error {
	return fmt.Errorf("signals: %s: %w", constructor, err)
}
