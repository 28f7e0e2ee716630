package revoke

import (
	"context"
	"time"
)

// Token is what a revocation knows of a JWT: its identity and its times. [Validator] makes it from a verified token;
// code that revokes by hand fills in Issuer, ID and, where it is known, ExpiresAt.
//
// A token is known by Issuer and ID together, because RFC 7519 §4.1.7 makes a jti unique only within its issuer.
// Comparison is bytewise.
type Token struct {
	Issuer    string    // iss
	ID        string    // jti
	Subject   string    // sub
	SessionID string    // sid; empty where the token has none
	IssuedAt  time.Time // iat, in whole seconds, rounded down
	ExpiresAt time.Time // exp; zero where a revoker does not know it, and then it counts as MaxTokenLifetime from now

	// Epochs are those that the token carries in its epoch claim. Where they are set they decide, and IssuedAt does
	// not: see [Epochs]. Nil stands for a token that is judged by IssuedAt.
	Epochs *Epochs
}

// User is a user as an issuer names them: iss and sub.
type User struct {
	Issuer  string
	Subject string
}

// Session is a session as an issuer names it: iss and sid (OpenID Connect Back-Channel Logout 1.0 §2.1).
type Session struct {
	Issuer string
	ID     string
}

// Revocation is one record that makes a token dead, as [Store.Lookup] returns it.
type Revocation struct {
	Scope     Scope
	Since     time.Time // as in RevokedError
	ExpiresAt time.Time // when the record is no longer needed; a sweeper deletes it some time later
	Reason    string    // of the first revocation that gave one; empty where none did
	Actor     string    // likewise
}

// Checker answers whether a token may still be accepted.
type Checker interface {
	// Check returns nil if the token is accepted: neither it, nor its session, its user or its issuer has been revoked.
	//
	// It sees every revocation that was committed before it was called; that of a mirror, which answers from memory, those
	// that were committed before it by more than its bound. Otherwise it returns an error that matches exactly one of
	// ErrRevoked (a *RevokedError), ErrInvalidToken (no issuer; none of ID, SessionID and Subject; no IssuedAt; no ExpiresAt;
	// either of them before 1970 or after 9999; a name that is too long, is not UTF-8 or holds NUL; expired for longer than
	// MaxLeeway, or further from now than MaxTokenLifetime), and ErrUnavailable with its cause. It believes the token: verify
	// the signature first. It may be used from several goroutines.
	Check(ctx context.Context, token Token) error
}

// Revoker writes revocations. Every write is safe to repeat. A write takes effect when it returns nil, or, where it was
// given a transaction, when that commits: from then on every Check refuses the token, and that of a mirror within its bound.
// No write is ever undone: to let somebody in again, issue a new token. A write has no timeout but its ctx.
//
// Reason and actor are optional (WithReason, WithActor), and the first to be recorded stay. An empty issuer, subject,
// session or id, one longer than MaxIDLength, and one that is not UTF-8 or holds NUL is an error that names it, and
// nothing is written. Errors about what was passed match ErrInvalidToken if it was a token, and no sentinel otherwise;
// errors of the store match ErrUnavailable, also where a repeat will not help. It may be used from several goroutines,
// unless it belongs to a transaction that may not.
type Revoker interface {
	// RevokeToken revokes one token, by Issuer and ID. It is the logout of one device.
	//
	// Revoking it again succeeds, leaves the time of the first revocation as it is, and never shortens the expiry. A
	// token that has long expired is a success that stores nothing. A zero ExpiresAt counts as MaxTokenLifetime from now.
	RevokeToken(ctx context.Context, token Token, opts ...RevokeOption) error

	// RevokeTokens revokes many tokens, all or none, in any order and with duplicates, as RevokeToken does.
	RevokeTokens(ctx context.Context, tokens []Token, opts ...RevokeOption) error

	// RevokeSession revokes every token that carries the session's sid, those still to be issued among them, for
	// MaxTokenLifetime from now. A repeat prolongs it. End the session where it is kept as well, so that it issues no more.
	RevokeSession(ctx context.Context, session Session, opts ...RevokeOption) error

	// RevokeUser revokes every token of the user that was issued until now: for a changed password, a disabled account,
	// a stolen laptop. The user may sign in again; see Epochs and IssueTime for how the next token is known from the
	// earlier ones.
	//
	// It returns the user's epochs after it, for the epoch claim of a token that this same request hands out. That is safe if
	// the same transaction looks at the credentials after RevokeUser, or has locked the account before it looked (FOR
	// UPDATE). Otherwise somebody may have disabled the account in between, and the new token would outlive that.
	//
	// A repeat is a new instant. Make it the last statement before the commit: see the package documentation.
	RevokeUser(ctx context.Context, user User, opts ...RevokeOption) (Epochs, error)

	// RevokeUserBefore revokes every token of the user that was issued before t, and is idempotent: for events that are
	// delivered twice, imports and restores. It never moves an epoch back. A t further ahead of the store's clock than
	// MaxIssuerSkew is an error. Under the claim rule it revokes every token whose user epoch is less than t: where t is
	// ahead of the last revocation, every token of the user that is alive.
	RevokeUserBefore(ctx context.Context, user User, t time.Time, opts ...RevokeOption) error

	// RevokeIssuer revokes every token of every user of the issuer that was issued until now: for a leaked key. It
	// returns the instant. A repeat is a new instant.
	RevokeIssuer(ctx context.Context, issuer string, opts ...RevokeOption) (time.Time, error)

	// Redeem spends a single-use token: a refresh token, a password-reset link, a logout token, a DPoP proof. It needs
	// Issuer, ID and ExpiresAt. Of all calls for one token exactly one returns nil, under any concurrency. The others
	// get a *RevokedError with the time at which it was spent. A redeemed token is a revoked token, and a revoked
	// token cannot be redeemed. It believes the token: verify the signature first.
	//
	// A token that expired longer ago than MaxLeeway never wins, with ErrInvalidToken. On ErrUnavailable it is not known
	// whether the token was spent.
	Redeem(ctx context.Context, token Token, opts ...RevokeOption) error

	// Epochs returns the user's epochs as they stand, for the epoch claim of a token that is about to be issued. Call
	// it before the credentials are read, or in one snapshot with them, never after. An epoch that lies more than a minute
	// ahead of a validator's clock is refused there.
	Epochs(ctx context.Context, user User) (Epochs, error)
}

// Store is a place that keeps revocations.
type Store interface {
	Checker
	Revoker

	// IssueTime returns an iat for a token of the user that is alive: in whole seconds, not ahead of the store's clock,
	// and not before any revocation of the user and of the issuer. Where one was made within this second it waits, for
	// a second at most; where one lies ahead, by WithIssuerSkew or RevokeUserBefore, for as long as that, MaxIssuerSkew and
	// a second at most; or until ctx ends. A login asks for it before it checks the credentials, a password change after its
	// commit.
	IssueTime(ctx context.Context, user User) (time.Time, error)

	// Lookup returns every revocation that makes the token dead, the narrowest first, with reason and actor. It does not say
	// whether the token has expired. It is for operators: a service asks Check.
	Lookup(ctx context.Context, token Token) ([]Revocation, error)

	// InTx calls fn with a Revoker whose writes are all done if fn returns nil and the commit succeeds, and none of
	// them otherwise. A write that failed with ErrUnavailable fails InTx, also where fn ignores it. It may call fn again
	// after a serialization failure or a deadlock. The Revoker ends with fn.
	InTx(ctx context.Context, fn func(Revoker) error) error
}
