package endpoint

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Defaults of the settings.
const (
	DefaultRealm      = "api"
	DefaultRetryAfter = 5 * time.Second
)

// Settings are the settings of every handler.
type Settings struct {
	Realm      string
	RetryAfter time.Duration
	Report     func(*http.Request, error)
}

// NewSettings returns the defaults.
func NewSettings() Settings {
	return Settings{DefaultRealm, DefaultRetryAfter, func(*http.Request, error) {}}
}

// SetRealm is the option WithRealm.
func (s *Settings) SetRealm(realm string) error {
	if realm == "" || !IsQuotable(realm) {
		return fmt.Errorf("realm %q is empty, or not printable ASCII without quotes and backslashes", realm)
	}
	s.Realm = realm
	return nil
}

// IsQuotable reports whether a text can stand between the quotes of a header field without escapes.
func IsQuotable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\' {
			return false
		}
	}
	return true
}

// SetRetryAfter is the option WithRetryAfter.
func (s *Settings) SetRetryAfter(d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("retry after %v is not positive", d)
	}
	s.RetryAfter = d
	return nil
}

// SetReport is the option WithReport.
func (s *Settings) SetReport(report func(*http.Request, error)) error {
	if report == nil {
		return errors.New("report is nil")
	}
	s.Report = report
	return nil
}

// Apply applies options to the settings of a constructor, in their order.
func Apply[O ~func(*S) error, S any](settings *S, opts []O) error {
	for _, opt := range opts {
		if opt == nil {
			return errors.New("an option is nil")
		}
		if err := opt(settings); err != nil {
			return err
		}
	}
	return nil
}
