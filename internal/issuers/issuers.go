// Package issuers holds the issuers that a store was told of, so that a wrong name is an error: a
// revocation under it would refuse no token.
package issuers

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Known are the issuers of a store. The zero value knows every issuer.
type Known struct {
	names []string
	funcs []func(issuer string) bool
}

// AddNames adds issuers by name.
func (k *Known) AddNames(names []string) error {
	if len(names) == 0 {
		return errors.New("no issuer is named")
	}
	for _, name := range names {
		if err := strictjwt.CheckID("issuer", name); err != nil {
			return err
		}
	}
	k.names = append(k.names, names...)
	return nil
}

// AddFunc adds the issuers that a function knows.
func (k *Known) AddFunc(known func(issuer string) bool) error {
	if known == nil {
		return errors.New("the function that knows issuers is nil")
	}
	k.funcs = append(k.funcs, known)
	return nil
}

// maxListed is how many issuers an error lists.
const maxListed = 10

// UnknownError says that a store does not know an issuer.
type UnknownError struct{ text string }

func (e *UnknownError) Error() string { return e.text }

// Check returns an *UnknownError where an issuer is not known, and nil where it is.
func (k *Known) Check(issuer string) error {
	if len(k.names) == 0 && len(k.funcs) == 0 || slices.Contains(k.names, issuer) {
		return nil
	}
	if slices.ContainsFunc(k.funcs, func(known func(string) bool) bool { return known(issuer) }) {
		return nil
	}
	text := fmt.Sprintf("issuer %q is not one that the store knows", issuer)
	if n := len(k.names); n > maxListed {
		text += fmt.Sprintf(": %q and %d others", k.names[:maxListed], n-maxListed)
	} else if n > 0 {
		text += fmt.Sprintf(": %q", k.names)
	}
	for _, name := range k.names {
		switch {
		case strings.TrimRight(name, "/") == strings.TrimRight(issuer, "/"):
			return &UnknownError{fmt.Sprintf("%s; it differs from %q in a slash at the end", text, name)}
		case strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(issuer)):
			return &UnknownError{fmt.Sprintf("%s; it differs from %q in case or spaces", text, name)}
		}
	}
	return &UnknownError{text}
}
