package jwks

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Option configures [New].
type Option func(*options) error

type options struct {
	client          *http.Client
	refreshInterval time.Duration
	unknownInterval time.Duration
	report          func(error)
}

// WithHTTPClient sets the client that fetches the keys, for a proxy or certificates. The client
// is copied. Each fetch ends after 10 s at most, and each body after 1 MiB. Default: a client with
// the proxy of the environment, which keeps no connection open.
func WithHTTPClient(client *http.Client) Option {
	return func(o *options) error {
		if client == nil {
			return errors.New("the HTTP client is nil")
		}
		o.client = client
		return nil
	}
}

// WithRefreshInterval sets how often the keys are fetched: a key that the provider has withdrawn
// is accepted for that long, and for an outage longer. Default: [DefaultRefreshInterval].
func WithRefreshInterval(d time.Duration) Option {
	return func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("refresh interval %v is not positive", d)
		}
		o.refreshInterval = d
		return nil
	}
}

// WithUnknownKeyInterval bounds what tokens with made-up kids cost the provider: between two
// fetches for unknown kids this time passes at least. A kid that is unknown meanwhile is
// answered from the last fetch. Default: [DefaultUnknownKeyInterval].
func WithUnknownKeyInterval(d time.Duration) Option {
	return func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("interval for unknown keys %v is not positive", d)
		}
		o.unknownInterval = d
		return nil
	}
}

// WithReport sets a function that gets the error of each fetch that failed, for logs. The error
// contains the address. It is called from several goroutines. Default: none.
func WithReport(report func(error)) Option {
	return func(o *options) error {
		if report == nil {
			return errors.New("report is nil")
		}
		o.report = report
		return nil
	}
}
