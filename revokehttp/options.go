package revokehttp

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/pgrevoke/revoke"
)

// Defaults of the options.
const (
	DefaultRealm      = "api"           // of WithRealm: RFC 6750 §3 wants a parameter beside the scheme
	DefaultRetryAfter = 5 * time.Second // of WithRetryAfter: what a failover takes
)

// Option configures [New].
type Option interface{ toGuard(*config) error }

// LogoutOption configures [Guard.Logout] and [Guard.LogoutEverywhere].
type LogoutOption interface{ toLogout(*logoutConfig) error }

// CommonOption configures whatever answers requests: it is an [Option], a [RevocationOption], an [IntrospectionOption] and a
// [ReceiverOption].
type CommonOption func(*common) error

// common is what everything that answers requests has.
type common struct {
	realm      string
	retryAfter time.Duration
	report     func(*http.Request, error)
}

func newCommon() common {
	return common{DefaultRealm, DefaultRetryAfter, func(*http.Request, error) {}}
}

func (o CommonOption) toGuard(c *config) error { return run(o, &c.common) }

// RecordOption configures whatever revokes: it is a [LogoutOption], a [RevocationOption] and a [ReceiverOption].
type RecordOption func(*record) error

// record is what is noted beside a revocation.
type record []revoke.RevokeOption

// after returns the record with defaults for what it does not say.
func (r record) after(defaults ...revoke.RevokeOption) record { return append(defaults, r...) }

func (o RecordOption) toLogout(c *logoutConfig) error { return run(o, &c.record) }

// guardOption and logoutOption are options of one constructor alone.
type (
	guardOption  func(*config) error
	logoutOption func(*logoutConfig) error
)

func (o guardOption) toGuard(c *config) error         { return o(c) }
func (o logoutOption) toLogout(c *logoutConfig) error { return o(c) }

var errNilOption = errors.New("an option is nil")

// run applies an option that somebody else may have declared, and left nil.
func run[O ~func(*C) error, C any](o O, c *C) error {
	if o == nil {
		return errNilOption
	}
	return o(c)
}

// apply runs options over their configuration; operation is for the error.
func apply[O, C any](operation string, c *C, opts []O, to func(O, *C) error) error {
	for _, opt := range opts {
		if any(opt) == nil {
			return fmt.Errorf("revokehttp: %s: %w", operation, errNilOption)
		}
		if err := to(opt, c); err != nil {
			return fmt.Errorf("revokehttp: %s: %w", operation, err)
		}
	}
	return nil
}

// WithRealm names the protected space in WWW-Authenticate (RFC 9110 §11.5), in printable ASCII without quotes and
// backslashes. Default: [DefaultRealm].
func WithRealm(realm string) CommonOption {
	return func(c *common) error {
		if realm == "" || !isQuotable(realm) {
			return fmt.Errorf("realm %q is empty, or not printable ASCII without quotes and backslashes", realm)
		}
		c.realm = realm
		return nil
	}
}

// isQuotable reports whether s can stand between quotes in a header as it is.
func isQuotable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// WithRetryAfter sets what a 503 asks of clients in its Retry-After, rounded up to seconds. Default: [DefaultRetryAfter].
func WithRetryAfter(d time.Duration) CommonOption {
	return func(c *common) error {
		if d <= 0 {
			return fmt.Errorf("retry after %v is not positive", d)
		}
		c.retryAfter = d
		return nil
	}
}

// WithReport makes report be called with the reason of each refusal, for logs and metrics, before it is answered. What a caller
// sent, a token or a secret, is not in it, but is in the request. It is called from several goroutines. Default: none.
func WithReport(report func(r *http.Request, err error)) CommonOption {
	return func(c *common) error {
		if report == nil {
			return errors.New("report is nil")
		}
		c.report = report
		return nil
	}
}

// WithRecord notes reason and actor of the revocation: see revoke.WithReason and revoke.WithActor. Each that it does not name
// has its default. Of a logout that is the reason "logout" and as actor the token's sub; at [NewRevocation] the reason "revoked
// by its client" and as actor the client's id; of a receiver a reason that names the protocol.
func WithRecord(opts ...revoke.RevokeOption) RecordOption {
	return func(r *record) error {
		_, err := revoke.NewRecord(opts...)
		*r = opts
		return err
	}
}
