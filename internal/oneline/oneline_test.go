package oneline_test

import (
	"errors"
	"testing"

	"github.com/pgrevoke/revoke/internal/oneline"
)

func TestJoin(t *testing.T) {
	t.Parallel()
	one, other := errors.New("one"), errors.New("other")
	for _, row := range []struct {
		name string
		errs []error
		text string // empty where the result is nil
	}{
		{"nothing", nil, ""},
		{"nil errors", []error{nil, nil}, ""},
		{"one error", []error{nil, one}, "one"},
		{"two errors", []error{one, nil, other}, "one; other"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			err := oneline.Join(row.errs...)
			if err == nil {
				if row.text != "" {
					t.Fatalf("Join = nil, want %q", row.text)
				}
				return
			}
			if err.Error() != row.text {
				t.Errorf("Join = %q, want %q", err, row.text)
			}
			for _, want := range row.errs {
				if want != nil && !errors.Is(err, want) {
					t.Errorf("Join = %v does not match %v", err, want)
				}
			}
		})
	}
	if got := oneline.Join(one); got != one { //nolint:errorlint // the error itself, and not one around it
		t.Errorf("Join of one error = %#v", got)
	}
}
