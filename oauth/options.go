package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/logout"
	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/refresh"
	"github.com/pgrevoke/revoke/session"
)

// Defaults of the options.
const (
	// DefaultRealm is "api".
	DefaultRealm = endpoint.DefaultRealm

	// DefaultRetryAfter is 5 s: about as long as a failover of Postgres takes.
	DefaultRetryAfter = endpoint.DefaultRetryAfter
)

// Option configures [NewRevocation], [NewIntrospection] and [NewToken]. An option that belongs to
// one of them is an error for the others.
type Option func(*options) error

type options struct {
	endpoint.Settings
	constructor string

	// of NewRevocation
	wholeSession bool
	unsupported  []Tokens
	record       logout.Record

	// of NewIntrospection
	disclose func(context.Context, Client, *revoke.Verified) ([]string, error)
	members  func(context.Context, Client, *revoke.Verified) (map[string]any, error)

	// of NewToken
	device func(*http.Request) session.Device
}

// The constructors, by name.
const (
	newRevocation    = "NewRevocation"
	newIntrospection = "NewIntrospection"
	newToken         = "NewToken"
)

// newOptions applies options to the defaults.
func newOptions(constructor string, opts []Option) (options, error) {
	o := options{Settings: endpoint.NewSettings(), constructor: constructor, device: refresh.Device}
	err := endpoint.Apply(&o, opts)
	return o, err
}

// belongsTo refuses an option of another constructor.
func (o *options) belongsTo(constructor, option string) error {
	if o.constructor != constructor {
		return fmt.Errorf("%s is an option of %s only", option, constructor)
	}
	return nil
}

// WithRealm names the protected space in WWW-Authenticate (RFC 9110 §11.5), in printable ASCII
// without quotes and backslashes. Default: [DefaultRealm].
func WithRealm(realm string) Option {
	return func(o *options) error { return o.SetRealm(realm) }
}

// WithRetryAfter sets Retry-After in answers of 503, rounded up to seconds. Default:
// [DefaultRetryAfter].
func WithRetryAfter(d time.Duration) Option {
	return func(o *options) error { return o.SetRetryAfter(d) }
}

// WithReport sets a function that gets the reason of each refusal, for logs, before the
// answer is written: see [NewRevocation], [NewIntrospection] and [NewToken]. The error
// contains neither token nor secret; the request does. The function is called from several
// goroutines. revokehttp.LogTo makes one that logs. Default: none.
func WithReport(report func(r *http.Request, err error)) Option {
	return func(o *options) error { return o.SetReport(report) }
}

// WithRecord sets reason and actor of a revocation: see revoke.WithReason and revoke.WithActor.
// It is an option of [NewRevocation]. Default: the reason "revoked by its client", and the
// client's id as the actor.
func WithRecord(opts ...revoke.RevokeOption) Option {
	return func(o *options) error {
		o.record = opts
		return oneline.Join(o.belongsTo(newRevocation, "WithRecord"), o.record.Check())
	}
}

// WithWholeSession makes the revocation of an access token end the token's session too, and with it
// the refresh tokens (RFC 7009 §2.1 leaves it to the server). It is an option of [NewRevocation].
// Default: an access token is revoked alone.
func WithWholeSession() Option {
	return func(o *options) error {
		o.wholeSession = true
		return o.belongsTo(newRevocation, "WithWholeSession")
	}
}

// WithUnsupported names kinds of tokens that cannot be revoked effectively, such as ID tokens,
// or access tokens of services that do not ask the store. They are answered with
// unsupported_token_type (RFC 7009 §2.2.1), so that no client relies on their revocation. It is
// an option of [NewRevocation]. Default: such a token is answered like any unknown token.
func WithUnsupported(kinds ...Tokens) Option {
	return func(o *options) error {
		for _, kind := range kinds {
			kind.unsupported = true
			o.unsupported = append(o.unsupported, kind)
		}
		return oneline.Join(o.belongsTo(newRevocation, "WithUnsupported"), checkKinds(kinds))
	}
}

// WithDisclosure decides what a client may learn of an accepted token (RFC 7662 §4), for
// instance only of tokens with the client in their aud, which token.Claims decodes.
// disclose returns the names of members that the answer leaves out, those of [WithMembers] too.
// Only a scope that is withheld can be replaced by WithMembers, by a narrower one. The members
// that limit the use of the token are in every answer: exp, nbf, aud, cnf and token_type;
// withholding one of them is answered with 503.
//
// An error that matches [ErrNotAllowed] or revoke.ErrInvalidToken makes the token inactive for the
// client. Any other error is answered with 503. disclose is asked only about tokens that are
// accepted, from several goroutines. WithDisclosure is an option of [NewIntrospection]. Default: a
// client that authenticates may learn everything of every access token.
func WithDisclosure(
	disclose func(ctx context.Context, client Client, token *revoke.Verified) (withheld []string, err error),
) Option {
	return func(o *options) error {
		if disclose == nil {
			return errors.New("the function of WithDisclosure is nil")
		}
		o.disclose = disclose
		return o.belongsTo(newIntrospection, "WithDisclosure")
	}
}

// WithMembers adds members to the answer for an accepted token: claims of the token, or data of the
// app, such as a username. A member that the answer has already is not replaced. The reserved names
// are ignored in any spelling: active, and those of a token's identity, times, client and type.
//
// An error that matches revoke.ErrInvalidToken, such as one of the token's method Claims, makes the
// token inactive. Any other error, and a value that encoding/json cannot encode, is answered with
// 503. The function is called from several goroutines. WithMembers is an option of
// [NewIntrospection]. Default: none.
func WithMembers(
	members func(ctx context.Context, client Client, token *revoke.Verified) (map[string]any, error),
) Option {
	return func(o *options) error {
		if members == nil {
			return errors.New("the function of WithMembers is nil")
		}
		o.members = members
		return o.belongsTo(newIntrospection, "WithMembers")
	}
}
