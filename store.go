package revoke

import (
	"context"
	"math"
	"time"

	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Limits that revokers, validators and sweepers share. They are constants because the program
// that revokes a token and the one that validates it are configured apart: no configuration of
// either may bring a token back.
const (
	// MaxIDLength is the greatest length in bytes of an issuer, a jti, a sub and a sid. It
	// bounds what a caller can make the database store, and leaves room for the longest
	// identifiers in use (OpenID Connect limits a sub to 255).
	MaxIDLength = 1024

	// MaxTokenLifetime is the longest time from a token's iat to its exp. A revocation of
	// tokens of unknown expiry is kept this long. A token that lives longer could
	// outlive it, so every validator refuses such a token.
	MaxTokenLifetime = 400 * 24 * time.Hour

	// MaxLeeway is the most that a validator can forgive of the difference between clocks. Rows
	// are kept longer than it.
	MaxLeeway = 5 * time.Minute

	// DefaultMargin is of the sweeper's WithMargin, and the least that it takes: how long a row
	// is kept beyond its expiry. It covers MaxLeeway and a difference of nearly an hour between
	// the clocks of application and database.
	DefaultMargin = time.Hour

	// MaxIssuerSkew is the most that WithIssuerSkew takes, and the most that RevokeUserBefore
	// may lie ahead of the clock.
	MaxIssuerSkew = 30 * time.Second

	// MaxIssuerLag is the most that WithIssuerSkew takes below zero, for issuers that stamp into
	// the past.
	MaxIssuerLag = 10 * time.Minute

	// DefaultIssuerSkew is of WithIssuerSkew, and what a zero Token.IssuerSkew counts as. It
	// covers an issuer that rounds up, and clocks that nothing keeps very well.
	DefaultIssuerSkew = 5 * time.Second

	// NoIssuerSkew is Token.IssuerSkew for a token with an iat from IssueTime: it counts as 0.
	NoIssuerSkew time.Duration = math.MinInt64
)

// Token is what a revocation knows of a JWT: its identity and its times. [Validator] makes it
// from a verified token. Code that revokes by hand fills in Issuer, ID and, where it is known,
// ExpiresAt.
//
// A token is known by Issuer and ID together, because RFC 7519 §4.1.7 makes a jti unique only
// within its issuer. Comparison is bytewise.
type Token struct {
	Issuer    string    // iss
	ID        string    // jti
	Subject   string    // sub
	SessionID string    // sid; empty where the token has none
	IssuedAt  time.Time // iat, in whole seconds, rounded down
	ExpiresAt time.Time // exp; zero where a revoker does not know it: MaxTokenLifetime from now

	// IssuerSkew is the most by which stamps of the issuer may be ahead of the true time, and
	// negative where they lie behind it: see [WithIssuerSkew]. It is not a claim. Zero counts as
	// DefaultIssuerSkew; none at all is NoIssuerSkew. A check of any other value that
	// WithIssuerSkew does not take is ErrInvalidToken.
	IssuerSkew time.Duration

	// Actor is who acts for the subject, by the claim act (RFC 8693 §4.1): an operator who signed
	// in as the user, a service on the user's behalf. It is zero where the subject acts for itself.
	// Otherwise Issuer is that of act, or the token's, and Subject is empty where act has none. The
	// actors before that one, in act within act, have no part in it. A check does not look at it:
	// see OfActor.
	Actor User

	// Epochs are those of the token's epoch claim. They count where HasEpochs is true, and then
	// IssuedAt does not: see [Epochs].
	Epochs    Epochs
	HasEpochs bool
}

// User returns the user of the token.
func (t Token) User() User { return User{Issuer: t.Issuer, Subject: t.Subject} }

// Session returns the session of the token. Its ID is empty where the token has no sid.
func (t Token) Session() Session { return Session{Issuer: t.Issuer, ID: t.SessionID} }

// OfActor returns what a check is asked to learn whether the token's Actor was revoked, and with
// them what they do for others: a token of the actor with the same times. It is judged by its iat,
// because the epoch claim is about the subject. It returns false if the token has no actor, or one
// without a subject, or one of an issuer that the checker does not know ([WithIssuers]).
// [Validator.Validate] asks about both.
func (t Token) OfActor(checker Checker) (Token, bool) {
	if t.Actor.Subject == "" {
		return Token{}, false
	}
	if store, ok := checker.(interface{ CheckIssuer(issuer string) error }); ok && store.CheckIssuer(t.Actor.Issuer) != nil {
		return Token{}, false
	}
	return Token{
		Issuer: t.Actor.Issuer, Subject: t.Actor.Subject, IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt, IssuerSkew: t.IssuerSkew,
	}, true
}

// User is a user as an issuer names them: iss and sub.
type User struct {
	Issuer  string
	Subject string
}

// Session is a session as an issuer names it: iss and sid (OpenID Connect Back-Channel Logout
// 1.0 §2.1).
type Session struct {
	Issuer string
	ID     string
}

// Revocation is one record: what was revoked, since when, and until when the record is needed.
type Revocation struct {
	Scope     Scope
	Issuer    string
	ID        string    // the jti, the sid or the sub; empty for an issuer
	Since     time.Time // as in RevokedError
	ExpiresAt time.Time // when the record is no longer needed; a sweeper deletes it some time later
	Reason    string    // of the first revocation that gave one; empty where none did
	Actor     string    // of the first revocation that gave one; empty where none did
}

// RevokeOption sets Reason or Actor in the record of a revocation. Stores take no other field
// from it.
type RevokeOption func(*Revocation) error

// WithReason notes why, such as "password changed". At most [MaxIDLength] bytes of UTF-8.
func WithReason(reason string) RevokeOption {
	return func(r *Revocation) error {
		r.Reason = reason
		return strictjwt.CheckText("reason", reason)
	}
}

// WithActor notes who, such as a user's or an operator's name. At most [MaxIDLength] bytes of
// UTF-8.
func WithActor(actor string) RevokeOption {
	return func(r *Revocation) error {
		r.Actor = actor
		return strictjwt.CheckText("actor", actor)
	}
}

// Checker answers whether a token may still be accepted.
type Checker interface {
	// Check returns nil if the token is accepted: neither it, nor its session, its user or its
	// issuer has been revoked.
	//
	// It sees every revocation that was committed before it was called. A mirror, which answers
	// from memory, sees every revocation that was committed longer ago than its bound.
	// Otherwise Check returns an error that matches exactly one of ErrRevoked (a
	// *RevokedError), ErrInvalidToken, and ErrUnavailable with its cause. ErrInvalidToken
	// stands for a token that has no issuer, none of ID, SessionID and Subject, no IssuedAt or
	// no ExpiresAt; of which a time lies before 1970 or after 9999; of which a name is too
	// long, is not UTF-8 or holds NUL; which expired longer than MaxLeeway ago; which
	// expires further from now than MaxTokenLifetime; or which is stamped ahead of the store's
	// clock, by more than its IssuerSkew, or with epochs that are ahead of that clock and of
	// those that stand.
	//
	// So what Check accepts, it refuses once its user or issuer has been revoked. The issuer's
	// clock and its rounding do not matter for that: see Epochs.
	//
	// Check does not verify the signature. Verify it first. Check may be used from several
	// goroutines.
	//
	// A Checker may have another method, CheckVerified(context.Context, Verified) error, which a
	// [Validator] calls in place of Check, so that the keys of the rows need not be computed at
	// each call: see [Verdict.OfVerified]. It answers as Check does. It is not called where a
	// struct has it from an embedded field, because the struct's own Check would be passed by.
	Check(ctx context.Context, token Token) error
}

// Revoker writes revocations. Every write is safe to repeat. A write takes effect when it
// returns nil, or, where it was given a transaction, when that commits: from then on every
// Check refuses the token, and that of a mirror within its bound. No write is ever undone: to
// let a user in again, issue a new token. A write has no timeout but its ctx; a
// store may bound its wait for a connection.
//
// Reason and actor are optional (WithReason, WithActor), and the first to be recorded stay. An
// empty issuer, subject, session or id, one longer than MaxIDLength, and one that is not UTF-8
// or holds NUL is an error that names it, and nothing is written. An invalid Token argument
// gives an error that matches ErrInvalidToken. An invalid User, Session or issuer gives an
// error that matches no sentinel. An error of the store matches ErrUnavailable, also where a
// repeat will not help. A Revoker may be used from several goroutines, unless it belongs to a
// transaction that may not.
//
// A write that returned ErrUnavailable may still take effect later, even after its repeat:
// a statement that waits for a lock is cancelled when ctx ends, but the request to cancel
// it may be lost. A late RevokeUser, RevokeUsers or RevokeIssuer then refuses the tokens
// that were issued since its repeat, and their users sign in once more. RevokeUserBefore
// names its instant and does not.
type Revoker interface {
	// RevokeToken revokes one token, by Issuer and ID. It is the logout of one device.
	//
	// Revoking it again succeeds, leaves the time of the first revocation as it is, and never
	// shortens the expiry. A token that looks expired is recorded all the same, and kept for
	// DefaultMargin from now, because the store's clock may be ahead. A zero ExpiresAt counts as
	// MaxTokenLifetime from now. The revocation is kept until ExpiresAt: see WithSharedIDs where a
	// longer-lived token has the same jti.
	RevokeToken(ctx context.Context, token Token, opts ...RevokeOption) error

	// RevokeTokens revokes many tokens, all or none, in any order and with duplicates, as
	// RevokeToken does.
	RevokeTokens(ctx context.Context, tokens []Token, opts ...RevokeOption) error

	// RevokeSession revokes every token that carries the session's sid, those still to be
	// issued among them, for MaxTokenLifetime from now. A repeat prolongs it. End the session
	// where it is kept as well, so that it issues no more.
	RevokeSession(ctx context.Context, session Session, opts ...RevokeOption) error

	// RevokeUser revokes every token of the user that was issued until now: for a changed
	// password, a disabled account, a stolen laptop. The user may sign in again, unless the
	// app refuses that, and a refresh token of another issuer makes new tokens; see Epochs
	// and IssueTime for how the next token is known from the earlier ones, and
	// WithIssuerSkew for how soon a third party's is.
	//
	// It returns the user's epochs after it, for the epoch claim of a token that this same
	// request hands out. That is safe if the same transaction looks at the credentials after
	// RevokeUser, or has locked the account before it looked (FOR UPDATE). Otherwise the
	// account may have been disabled in between, and the new token would outlive that.
	//
	// A Validator then also refuses tokens that name the user as their actor: see Token.Actor.
	//
	// A repeat is a new instant. Make it the last statement before the commit: see the package
	// documentation.
	RevokeUser(ctx context.Context, user User, opts ...RevokeOption) (Epochs, error)

	// RevokeUsers revokes every token of each of the users that was issued until now, all or
	// none, as RevokeUser does: for an organisation that is suspended. The users may be in any
	// order, of several issuers, and named more than once. No users are no error.
	//
	// It returns each user's epochs, in the order of the users. An error names the position of
	// the user that it is about.
	RevokeUsers(ctx context.Context, users []User, opts ...RevokeOption) ([]Epochs, error)

	// RevokeUserBefore revokes every token of the user that was issued before t, and is
	// idempotent: for events that are delivered twice, and imports. It never moves an epoch
	// back. A t further ahead of the store's clock than MaxIssuerSkew is an error. Under
	// the claim rule it revokes every token with a user epoch less than t: where t is ahead
	// of the last revocation, every token of the user that is alive.
	RevokeUserBefore(ctx context.Context, user User, t time.Time, opts ...RevokeOption) error

	// RevokeIssuer revokes every token of every user of the issuer that was issued until now:
	// for a leaked key, and after a backup was restored, which lacks what was revoked since it was
	// made. It returns the instant. A repeat is a new instant.
	RevokeIssuer(ctx context.Context, issuer string, opts ...RevokeOption) (time.Time, error)

	// Redeem spends a single-use token: a refresh token, a password-reset link, a logout token,
	// a DPoP proof. It needs Issuer, ID and ExpiresAt. Of all calls for one token exactly one
	// returns nil, under any concurrency. The others get a *RevokedError with the time at which
	// it was spent. A redeemed token is a revoked token, and a revoked token cannot be
	// redeemed. Redeem does not verify the signature. Verify it first.
	//
	// A token that expired longer ago than MaxLeeway by the store's clock never wins: the error
	// matches ErrInvalidToken, and nothing is spent. After ErrUnavailable it is not known whether
	// the token was spent.
	Redeem(ctx context.Context, token Token, opts ...RevokeOption) error

	// Epochs returns the user's epochs as they stand, for the epoch claim of a token that is
	// about to be issued. Call it before the credentials are read, never after. To read both in
	// one snapshot, see [Epochs.Scan]. Check refuses an epoch that is ahead of the store's clock
	// and of the one that stands, as after a failover that lost the revocation.
	Epochs(ctx context.Context, user User) (Epochs, error)
}

// Store is a place that keeps revocations.
type Store interface {
	Checker
	Revoker

	// IssueTime returns an iat for a token of the user that is accepted: in whole seconds, not
	// ahead of the store's clock, and not before any revocation of the user and of the issuer.
	// Where one was made within this second it waits, for a second at most. Where
	// RevokeUserBefore put one ahead, it waits for as long as that, MaxIssuerSkew and a second
	// at most. It returns when ctx ends, with an error that matches ErrUnavailable. A login asks
	// for it before it checks the credentials, a password change after its commit.
	//
	// It goes with the option WithIssueTime of every validator of these tokens (NoIssuerSkew in
	// a Token). Under another skew the tokens of a sign-in soon after a revocation are refused.
	IssueTime(ctx context.Context, user User) (time.Time, error)

	// Lookup returns every revocation that refuses the token, the narrowest first, with reason
	// and actor. It does not say whether the token has expired. It is for operators: a service
	// asks Check.
	Lookup(ctx context.Context, token Token) ([]Revocation, error)

	// InTx calls fn with a Revoker. Its writes are all done if fn returns nil and the commit
	// succeeds, and none of them otherwise. A write that failed with ErrUnavailable fails InTx,
	// even if fn ignores it. InTx may call fn again after a serialization failure or a
	// deadlock. The Revoker ends with fn.
	InTx(ctx context.Context, fn func(Revoker) error) error
}
