package signals

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// NewBackChannelLogoutSet returns a handler for the back-channel logouts of several providers,
// which send them to one URL. NewBackChannelLogoutSet starts nothing. The error names the wrong
// argument or option. Two receivers of one issuer, by its name or by an alias, are an error.
//
// The claim iss of a logout token picks the receiver. Until then nothing is verified, so iss is
// used for nothing else. It is read strictly: once, in exactly this spelling. The receiver that it
// picks decides alone, with its own keys, clients and options: a logout token that it refuses is
// not shown to another one.
//
// The only option is [WithReport], for requests that pick no receiver. They are answered with 400.
func NewBackChannelLogoutSet(receivers []*BackChannelLogout, opts ...Option) (http.Handler, error) {
	s := &backChannelSet{receivers: make(map[string]*BackChannelLogout)}
	var err error
	if len(receivers) == 0 {
		err = errors.New("no receiver is given")
	}
	for _, b := range receivers {
		if b == nil {
			err = oneline.Join(err, errors.New("a receiver is nil"))
			continue
		}
		for _, name := range append([]string{b.reader.issuer}, slices.Sorted(maps.Keys(b.aliases))...) {
			if s.receivers[name] != nil {
				err = oneline.Join(err, fmt.Errorf("two receivers are of issuer %q", name))
			}
			s.receivers[name] = b
		}
	}
	unknown, wrong := newOptions(newBackChannelLogoutSet, opts)
	if err := oneline.Join(err, wrong); err != nil {
		return nil, failed(newBackChannelLogoutSet, err)
	}
	s.unknown = receiver{options: unknown}
	return s, nil
}

type backChannelSet struct {
	receivers map[string]*BackChannelLogout // :: issuer or alias → receiver
	unknown   receiver                      // answers requests that pick none; it has no store
}

// ServeHTTP implements [http.Handler].
func (s *backChannelSet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := readLogoutToken(w, r)
	if err == nil {
		var picked *BackChannelLogout
		if picked, err = s.pick(text); err == nil {
			picked.answer(w, r, text, nil)
			return
		}
	}
	s.unknown.receive(w, r, http.StatusOK, func(*http.Request) error { return err })
}

// pick returns the receiver for a logout token's iss.
func (s *backChannelSet) pick(text string) (*BackChannelLogout, error) {
	issuer, err := strictjwt.UnverifiedIssuer(text, logoutForm)
	switch {
	case err != nil:
		return nil, notAccepted(refusedToken(err))
	case issuer == "":
		return nil, notAccepted(refusedToken(missing("iss")))
	}
	picked := s.receivers[issuer]
	if picked == nil {
		return nil, notAccepted(refusedToken(jwt.ErrTokenInvalidIssuer))
	}
	return picked, nil
}
