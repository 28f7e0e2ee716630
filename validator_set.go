package revoke

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/issuers"
	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Limits of the function of [NewValidatorSet].
const (
	// MaxTenants is how many answers of the function are kept, of those with a validator, and as
	// many again of those without.
	MaxTenants = 1000
	// MaxTenantAge is how long a validator from the function is used, before the function is asked
	// again.
	MaxTenantAge = 10 * time.Minute
	// MaxUnknownTenantAge is the same for an issuer of which the function knows no validator, so
	// that a new tenant does not wait for long.
	MaxUnknownTenantAge = 10 * time.Second
)

// ValidatorSet validates the tokens of several issuers: for one guard, or one endpoint, in front
// of all of them. It may be used from several goroutines.
//
// The claim iss of a token picks the validator. Until then nothing is verified, so iss is used
// for nothing else. It is read as strictly as everywhere: once, in exactly this spelling, a string
// of at most [MaxIDLength] bytes. The validator that it picks decides alone: a token that it
// refuses is not shown to another one.
type ValidatorSet struct {
	members    []*Validator
	validators map[string]*Validator // :: issuer or alias → validator
	tenants    *tenants              // nil where no function was given
	form       strictjwt.Form        // the widest of theirs
}

// NewValidatorSet returns the set of these validators. NewValidatorSet starts nothing. Two of them
// that accept the same iss, by name or by alias, are an error, and so is one with
// [WithOptionalIssuer], because a token without iss picks no validator.
//
// tenants supplies validators of issuers that are not known beforehand, such as Entra's, one a
// tenant. It is nil where there are none. It is called with an iss that none of the validators
// has, and returns the validator of that issuer, or nil for an issuer that is unknown. It is
// called before the signature has verified, so that a forged token can have it called with any
// name: let it decide from the name alone, by a pattern or a table in memory, and ask no
// other service and no database. Only MaxTenants answers are kept, for [MaxTenantAge] and
// [MaxUnknownTenantAge]. Concurrent tokens of one issuer wait for one call; those of several
// issuers call it at the same time. Return the same validator for the same issuer, or share the
// keyfunc, so that keys need not be fetched again.
//
// An error of tenants that matches ErrInvalidToken says that the issuer is unknown, and so does
// that of [NewValidator] for an issuer which the store does not know ([WithIssuers]). Any other
// makes the token ErrUnavailable, and is not kept; its text is part of the token's error, so leave
// the name out of it. A validator that does not accept the iss, that has another name which one
// of the validators has, or that has WithOptionalIssuer, is such an error.
func NewValidatorSet(validators []*Validator,
	tenants func(ctx context.Context, issuer string) (*Validator, error),
) (*ValidatorSet, error) {
	s := &ValidatorSet{validators: make(map[string]*Validator)}
	var err error
	if len(validators) == 0 && tenants == nil {
		err = errors.New("no validator is given")
	}
	for _, v := range validators {
		if v == nil {
			err = oneline.Join(err, errors.New("a validator is nil"))
			continue
		}
		err = oneline.Join(err, s.checkMember(v))
		s.members = append(s.members, v)
		for _, name := range v.allNames() {
			s.validators[name] = v
		}
		s.form = strictjwt.Form{MaxSize: max(s.form.MaxSize, v.form.MaxSize), Padded: s.form.Padded || v.form.Padded}
	}
	if err != nil {
		return nil, fmt.Errorf("revoke: NewValidatorSet: %w", err)
	}
	if tenants != nil {
		s.form = strictjwt.Form{MaxSize: maxTokenSize, Padded: true}
		s.tenants = newTenants(func(ctx context.Context, issuer string) (*Validator, error) {
			return s.tenant(ctx, issuer, tenants)
		})
	}
	return s, nil
}

// checkMember reports why a validator cannot be of the set, beside those that are.
func (s *ValidatorSet) checkMember(v *Validator) (err error) {
	if v.optional.issuer {
		err = fmt.Errorf("the validator of issuer %q has WithOptionalIssuer, and a token without iss picks no validator", v.issuer)
	}
	for _, name := range v.allNames() {
		if s.validators[name] != nil {
			err = oneline.Join(err, fmt.Errorf("two validators accept the iss %q", name))
		}
	}
	return err
}

// tenant asks the app's function for a validator. It returns nil for an unknown issuer. The
// issuer is not verified, and so no error of this package repeats it, nor a name of a validator
// that was made for it.
func (s *ValidatorSet) tenant(ctx context.Context, issuer string,
	find func(context.Context, string) (*Validator, error),
) (*Validator, error) {
	v, err := find(ctx, issuer)
	wrong := func(is string) error {
		return errors.New("the function for tenants returned a validator that " + is)
	}
	switch {
	case errors.Is(err, ErrInvalidToken) && !isOutage(err), errors.As(err, new(*issuers.UnknownError)):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("the function for tenants failed: %w", err)
	case v == nil:
		return nil, nil
	case !v.isNamed(issuer):
		return nil, wrong("does not accept the iss for which it was asked")
	case v.optional.issuer:
		return nil, wrong("has WithOptionalIssuer")
	case slices.ContainsFunc(v.allNames(), func(name string) bool { return s.validators[name] != nil }):
		return nil, wrong("accepts an iss which another validator of the set accepts")
	}
	return v, nil
}

// Validate is [Validator.Validate] of the validator that the token's iss picks. A token of which
// the iss picks none is ErrInvalidToken. The hooks are those of the validator, and hear of no
// token that picked none.
func (s *ValidatorSet) Validate(ctx context.Context, text string) (*Verified, error) {
	v, err := s.pick(ctx, "Validate", text)
	if err != nil {
		return nil, err
	}
	return v.Validate(ctx, text)
}

// Identify is [Validator.Identify] of the validator that the token's iss picks. It does not ask
// whether it was revoked.
func (s *ValidatorSet) Identify(ctx context.Context, text string) (Token, error) {
	v, err := s.pick(ctx, "Identify", text)
	if err != nil {
		return Token{}, err
	}
	return v.Identify(ctx, text)
}

// RequiresSession is [Validator.RequiresSession] of the validator of this issuer. It is false for
// an issuer of which the set has none, and for one that the function for tenants supplies: ask
// that tenant's validator.
func (s *ValidatorSet) RequiresSession(issuer string) bool {
	return s != nil && s.validators[issuer].RequiresSession(issuer)
}

// pick returns the validator for the token's iss.
func (s *ValidatorSet) pick(ctx context.Context, operation, text string) (*Validator, error) {
	issuer, err := strictjwt.UnverifiedIssuer(text, s.form)
	if err != nil {
		return nil, as(operation, ErrInvalidToken, err)
	}
	if issuer == "" {
		return nil, as(operation, ErrInvalidToken,
			fmt.Errorf("%w: %w: %q", jwt.ErrTokenInvalidClaims, jwt.ErrTokenRequiredClaimMissing, "iss"))
	}
	v := s.validators[issuer]
	if v == nil && s.tenants != nil {
		if v, err = s.tenants.find(ctx, issuer); err != nil {
			return nil, as(operation, ErrUnavailable, err)
		}
	}
	if v == nil {
		return nil, as(operation, ErrInvalidToken,
			fmt.Errorf("%w: %w: no validator of the set is of this issuer", jwt.ErrTokenInvalidClaims, jwt.ErrTokenInvalidIssuer))
	}
	return v, nil
}

// tenants keeps the answers of a function that supplies validators by issuer.
type tenants struct {
	ask func(context.Context, string) (*Validator, error) // nil for an unknown issuer

	mu    sync.Mutex
	asked map[string]*question // that have no answer yet
	// Unknown issuers are kept apart: forged tokens can name any number of them, and none of them
	// may take the place of a tenant.
	known, unknown *answers
}

// question is a call of the function.
type question struct {
	done      chan struct{}
	validator *Validator
	err       error
	gone      bool // the caller left, or panicked: the answer says nothing
}

func newTenants(ask func(context.Context, string) (*Validator, error)) *tenants {
	return &tenants{
		ask:     ask,
		asked:   make(map[string]*question),
		known:   newAnswers(MaxTenantAge),
		unknown: newAnswers(MaxUnknownTenantAge),
	}
}

// find returns the validator of an issuer, nil for one that is unknown.
func (t *tenants) find(ctx context.Context, issuer string) (*Validator, error) {
	for {
		v, ok, q, mine := t.look(issuer)
		switch {
		case ok:
			return v, nil
		case mine:
			return t.answer(ctx, issuer, q)
		}
		select {
		case <-q.done:
			if !q.gone {
				return q.validator, q.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// look returns a kept answer, or the question that is to be waited for. The question is the
// caller's own to answer where there was none.
func (t *tenants) look(issuer string) (v *Validator, ok bool, q *question, mine bool) {
	now := systemClock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if v, ok = t.known.get(issuer, now); ok {
		return v, true, nil, false
	}
	if v, ok = t.unknown.get(issuer, now); ok {
		return v, true, nil, false
	}
	if q = t.asked[issuer]; q == nil {
		q, mine = &question{done: make(chan struct{}), gone: true}, true
		t.asked[issuer] = q
	}
	return nil, false, q, mine
}

// answer calls the function, in the caller's goroutine and with the caller's context.
func (t *tenants) answer(ctx context.Context, issuer string, q *question) (*Validator, error) {
	defer func() { // also where the function panics
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.asked, issuer)
		switch {
		case q.gone || q.err != nil:
		case q.validator != nil:
			t.known.put(issuer, q.validator, systemClock())
		default:
			t.unknown.put(issuer, nil, systemClock())
		}
		close(q.done)
	}()
	q.validator, q.err = t.ask(ctx, issuer)
	q.gone = q.err != nil && ctx.Err() != nil
	return q.validator, q.err
}

// answers are the last MaxTenants answers that were asked for. An answer does not grow older than
// maxAge.
type answers struct {
	maxAge   time.Duration
	byIssuer map[string]*list.Element // :: issuer → element with an answerAt
	used     *list.List               // the last that was asked for is at the front
}

// answerAt is an answer, and when it was given.
type answerAt struct {
	issuer    string
	validator *Validator
	at        time.Time
}

func newAnswers(maxAge time.Duration) *answers {
	return &answers{maxAge: maxAge, byIssuer: make(map[string]*list.Element), used: list.New()}
}

func (a *answers) get(issuer string, now time.Time) (*Validator, bool) {
	element := a.byIssuer[issuer]
	if element == nil {
		return nil, false
	}
	answer, _ := element.Value.(answerAt)
	if age := now.Sub(answer.at); age < 0 || age >= a.maxAge {
		a.remove(element)
		return nil, false
	}
	a.used.MoveToFront(element)
	return answer.validator, true
}

func (a *answers) put(issuer string, v *Validator, now time.Time) {
	if len(a.byIssuer) >= MaxTenants {
		a.remove(a.used.Back())
	}
	a.byIssuer[issuer] = a.used.PushFront(answerAt{issuer, v, now})
}

func (a *answers) remove(element *list.Element) {
	answer, _ := a.used.Remove(element).(answerAt)
	delete(a.byIssuer, answer.issuer)
}
