// Package session starts, refreshes, lists and ends the sessions of an app that signs its own
// tokens.
package session

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
)

// Sessions starts, refreshes, lists and ends the sessions of one issuer. It may be used from
// several goroutines.
type Sessions struct {
	store  *revoke.Postgres
	issuer string
}

// New returns the sessions of an issuer.
func New(store *revoke.Postgres, issuer string, audience revoke.Audience, keys Keys, opts ...Option) (*Sessions, error) {
	return &Sessions{store, issuer}, nil
}

// Device is what is known of the client that presents itself.
type Device struct {
	Client     string            // the OAuth client_id; empty for the app's own pages
	Label      string            // a name for the list, such as "Ada's phone"
	UserAgent  string            // the User-Agent of its request
	Address    string            // the address that it came from
	Attributes map[string]string // of the app's choice
}

// Tokens is what a client gets.
type Tokens struct {
	Access           string
	AccessExpiresAt  time.Time
	Refresh          string    // empty: the client keeps the refresh token that it has
	RefreshExpiresAt time.Time // the session's absolute end
	Session          revoke.Session
	User             revoke.User
	Client           string
	Outcome          Outcome
}

// Outcome says how tokens came about.
type Outcome string

// The outcomes.
const (
	Started  Outcome = "started"  // a new session
	Rotated  Outcome = "rotated"  // a new generation of the refresh token
	Repeated Outcome = "repeated" // the generation that is current, or no refresh token at all
)

// Session is one row of [Sessions.List].
type Session struct {
	ID         string
	Client     string
	Label      string
	UserAgent  string
	Address    string
	Attributes map[string]string
	StartedAt  time.Time
	LastUsedAt time.Time
	ExpiresAt  time.Time
}

// ErrNotFound says that the user has no such session.
var ErrNotFound = errors.New("the user has no such session")

var errDeclared = errors.New("session: declared only")

// Start starts a session.
func (s *Sessions) Start(ctx context.Context, user revoke.User, epochs revoke.Epochs, device Device) (Tokens, error) {
	return Tokens{}, errDeclared
}

// Refresh answers a refresh token.
func (s *Sessions) Refresh(ctx context.Context, refreshToken string, device Device) (Tokens, error) {
	return Tokens{}, errDeclared
}

// List returns the user's sessions that can be refreshed.
func (s *Sessions) List(ctx context.Context, user revoke.User) ([]Session, error) {
	return nil, errDeclared
}

// End ends a session of the user.
func (s *Sessions) End(ctx context.Context, user revoke.User, sid string, opts ...revoke.RevokeOption) error {
	return errDeclared
}

// EndOthers ends every session of the user, and starts a new one in place of the one with this sid.
func (s *Sessions) EndOthers(ctx context.Context, user revoke.User, sid string, device Device, opts ...revoke.RevokeOption) (Tokens, error) {
	return Tokens{}, errDeclared
}

// EndAll ends every session of the user.
func (s *Sessions) EndAll(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (revoke.Epochs, error) {
	return revoke.Epochs{}, errDeclared
}

// EndToken ends the session of an access token or a refresh token, which may have expired.
func (s *Sessions) EndToken(ctx context.Context, token string, opts ...revoke.RevokeOption) error {
	return errDeclared
}

// Forget blanks what is known of the devices of the user.
func (s *Sessions) Forget(ctx context.Context, user revoke.User) error { return errDeclared }

// Sweep deletes rows of which all tokens have expired.
func (s *Sessions) Sweep(ctx context.Context) (deleted int64, err error) { return 0, errDeclared }

// Tx starts and ends sessions within a transaction of the caller's.
type Tx struct{ sessions *Sessions }

// WithTx returns the sessions within a pgx transaction.
func (s *Sessions) WithTx(tx pgx.Tx) *Tx { return &Tx{s} }

// WithSQLTx is WithTx for a transaction of database/sql.
func (s *Sessions) WithSQLTx(tx revoke.SQLTx) *Tx { return &Tx{s} }

// Start is [Sessions.Start].
func (t *Tx) Start(ctx context.Context, user revoke.User, epochs revoke.Epochs, device Device) (Tokens, error) {
	return Tokens{}, errDeclared
}

// End is [Sessions.End].
func (t *Tx) End(ctx context.Context, user revoke.User, sid string, opts ...revoke.RevokeOption) error {
	return errDeclared
}

// EndOthers is [Sessions.EndOthers].
func (t *Tx) EndOthers(ctx context.Context, user revoke.User, sid string, device Device, opts ...revoke.RevokeOption) (Tokens, error) {
	return Tokens{}, errDeclared
}

// EndAll is [Sessions.EndAll].
func (t *Tx) EndAll(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (revoke.Epochs, error) {
	return revoke.Epochs{}, errDeclared
}

// Forget is [Sessions.Forget].
func (t *Tx) Forget(ctx context.Context, user revoke.User) error { return errDeclared }

// User returns a user of this issuer by their sub.
func (s *Sessions) User(sub string) revoke.User { return revoke.User{Issuer: s.issuer, Subject: sub} }

// NewValidator returns a validator of the access tokens.
func (s *Sessions) NewValidator(checker revoke.Checker, opts ...revoke.ValidatorOption) (*revoke.Validator, error) {
	return nil, errDeclared
}

// PublicKeys returns the keys by which tokens are verified, for a JWK Set.
func (s *Sessions) PublicKeys(ctx context.Context) ([]PublicKey, error) { return nil, errDeclared }
