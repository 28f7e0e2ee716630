package revokehttp

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/logout"
)

// Defaults of the options.
const (
	// DefaultRealm is "api": RFC 6750 §3 requires a parameter after the scheme.
	DefaultRealm = endpoint.DefaultRealm

	// DefaultRetryAfter is 5 s: about as long as a failover of Postgres takes.
	DefaultRetryAfter = endpoint.DefaultRetryAfter
)

// Option configures [NewGuard], [Guard.ForwardAuth], [NewRefresh] and [NewWatcher]. Each option
// belongs to one of them, and is an error for the others. Its comment says to which; where the
// comment says nothing, it is NewGuard.
type Option func(*configured) error

// configured is what options change: the settings of one constructor.
type configured struct{ settings any }

// The constructors, by name.
const (
	newGuard       = "NewGuard"
	newForwardAuth = "ForwardAuth"
	newRefresh     = "NewRefresh"
	newWatcher     = "NewWatcher"
)

// configure applies options to the settings of a constructor.
func configure[S any](settings *S, opts []Option) error {
	return endpoint.Apply(&configured{settings}, opts)
}

// optionOf returns an option of one constructor, which has settings of type S.
func optionOf[S any](constructor, name string, set func(*S) error) Option {
	return func(c *configured) error {
		settings, ok := c.settings.(*S)
		if !ok {
			return fmt.Errorf("%s is an option of %s", name, constructor)
		}
		return set(settings)
	}
}

type options struct {
	settings    endpoint.Settings
	cookie      *cookie // nil if only the header counts
	crossOrigin *http.CrossOriginProtection
	preflight   bool
	signIn      *url.URL // nil if a navigation is answered like any other request
	answer      func(http.ResponseWriter, *http.Request, error)
}

// WithRealm names the protected space in WWW-Authenticate (RFC 9110 §11.5), in printable ASCII
// without quotes and backslashes. Default: [DefaultRealm].
func WithRealm(realm string) Option {
	return optionOf(newGuard, "WithRealm", func(o *options) error { return o.settings.SetRealm(realm) })
}

// WithRetryAfter sets Retry-After in answers of 503, rounded up to seconds. Default:
// [DefaultRetryAfter].
func WithRetryAfter(d time.Duration) Option {
	return optionOf(newGuard, "WithRetryAfter", func(o *options) error { return o.settings.SetRetryAfter(d) })
}

// WithReport sets a function that gets the reason of each refusal, for logs, before the
// answer is written. The text of the error contains no token; the request does. See
// [TokenFromError]. The function is called from several goroutines. [LogTo] makes one that
// logs. Default: none.
func WithReport(report func(r *http.Request, err error)) Option {
	return optionOf(newGuard, "WithReport", func(o *options) error { return o.settings.SetReport(report) })
}

// WithPreflight passes CORS preflights on to the next handler: OPTIONS with Origin and
// Access-Control-Request-Method, which browsers send without credentials. Such a request may
// come from anywhere, so the next handler must answer OPTIONS by itself, as CORS middleware
// does, and not as it answers GET. [TokenFromContext] finds no token then. Default: a preflight
// is refused like any request without a token.
func WithPreflight() Option {
	return optionOf(newGuard, "WithPreflight", func(o *options) error { o.preflight = true; return nil })
}

// WithErrorHandler replaces [Guard.Refuse] as the answer to a request that was refused: by the
// guard, by one of its logouts, or by a [Refresh]. The error matches one of ErrNoToken,
// ErrBadRequest, ErrCrossOrigin, ErrActor, revoke.ErrRevoked, revoke.ErrInvalidToken and
// revoke.ErrUnavailable. The error of a logout or of a refresh may match none of them: then the
// outcome is unknown, or a token is too long for a cookie. An error of a request that the client
// has cancelled matches context.Canceled too. The error is for logs and not for the caller. The
// handler may call Guard.Refuse. It is called from several goroutines.
func WithErrorHandler(answer func(w http.ResponseWriter, r *http.Request, err error)) Option {
	return optionOf(newGuard, "WithErrorHandler", func(o *options) error {
		if answer == nil {
			return errors.New("error handler is nil")
		}
		o.answer = answer
		return nil
	})
}

// LogoutOption configures [Guard.Logout], [Guard.LogoutEverywhere] and [Refresh.Logout].
type LogoutOption func(*logoutOptions) error

type logoutOptions struct {
	clearSiteData string
	record        logout.Record
	scopes        []revoke.Scope                           // nil for those of the validator
	location      func(*http.Request, revoke.Token) string // nil if success is always 204
}

// WithScopes says what a logout ends: revoke.ScopeToken, the token in hand;
// revoke.ScopeSession, its session, and so every token that carries its sid, those still to
// be issued among them, for revoke.MaxTokenLifetime; or both. A token without a session,
// such as a service account's, is ended by itself in any case. It is an option of
// [Guard.Logout]. Default: the token, and its session where the validator was told what a
// session is: by revoke.WithRequiredSession or revoke.WithRequiredSessionExcept, by
// ClaimNames.Session, or by revoke.WithEpochClaim, revoke.WithOptionalEpochClaim and
// revoke.WithIssueTime, which are for tokens of your own. Of a validator of another type
// than this library's it is the token alone.
//
// Beware of sessions that the app does not end itself. With single sign-on the provider's
// session goes on after this logout, and the user's next sign-in has the same sid: its
// tokens are refused, and the browser goes from the app to the provider and back without an
// end. So end the session at the provider too, with [WithEndSession] (OpenID Connect
// RP-Initiated Logout 1.0), or end the token alone.
func WithScopes(scopes ...revoke.Scope) LogoutOption {
	return func(o *logoutOptions) error {
		if len(scopes) == 0 {
			return errors.New("no scope of a logout is named")
		}
		for _, scope := range scopes {
			if !slices.Contains(logout.WholeSession, scope) {
				return fmt.Errorf("a logout of scope %q is none of %q: see LogoutEverywhere for a user", string(scope), logout.WholeSession)
			}
		}
		o.scopes = slices.Clone(scopes)
		return nil
	}
}

// WithRecord sets reason and actor of the revocation: see revoke.WithReason and revoke.WithActor.
// Default: the reason "logout"; and as the actor the sub of the token's claim act (RFC 8693 §4.1),
// or the token's sub if it has no act.
func WithRecord(opts ...revoke.RevokeOption) LogoutOption {
	return func(o *logoutOptions) error {
		o.record = opts
		return o.record.Check()
	}
}

// recordOf returns the record of a logout with this token.
func (o *logoutOptions) recordOf(token revoke.Token) logout.Record {
	actor := token.Subject
	if token.Actor != (revoke.User{}) {
		actor = cmp.Or(token.Actor.Subject, unnamedActor)
	}
	return o.record.Over(revoke.WithReason("logout"), revoke.WithActor(actor))
}

// unnamedActor is recorded where the claim act has no sub: the user did not act.
const unnamedActor = "an actor without a sub"

// siteData are the types that Clear-Site-Data may name (W3C Clear Site Data §3.1).
var siteData = []string{"cache", "cookies", "storage", "executionContexts", "*"}

// WithClearSiteData makes a browser delete the data that it has stored for the site: "cache",
// "cookies", "storage", "executionContexts" or "*". Default: only the guard's cookie is deleted.
func WithClearSiteData(types ...string) LogoutOption {
	return func(o *logoutOptions) error {
		if len(types) == 0 {
			return errors.New("no type of site data is named")
		}
		for _, t := range types {
			if !slices.Contains(siteData, t) {
				return fmt.Errorf("type of site data %q is none of %q", t, siteData)
			}
		}
		o.clearSiteData = `"` + strings.Join(types, `", "`) + `"`
		return nil
	}
}
