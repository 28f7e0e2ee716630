// Package revoke makes JSON Web Tokens revocable for apps that run on Postgres.
//
// A JWT is valid until it expires, whatever happens: a logout, a password change, a stolen laptop, a dismissal. This package
// keeps what has been revoked in the app's own database, writes it in the app's own transactions, and checks it together
// with the signature.
//
// # The model
//
// A token is known by its issuer and jti, a session by issuer and sid, a user by issuer and sub. Each of them can be revoked,
// and so can an issuer. A token or a session is a row that says "revoked"; a user or an issuer is a row with an instant, the
// epoch, before which tokens are dead; elsewhere it is called "not before" or "valid since". [Postgres] writes these rows and
// answers a [Checker.Check] from all of them in one round trip. [Validator] verifies the signature, reads identity and times
// strictly from the verified bytes, and then asks.
//
// # The guarantee
//
// Once a revocation has committed, no validator accepts the token: at once where it asks Postgres, and where it asks a mirror
// (package mirror, which answers from memory) within the bound of that, one second by default. A request that was let in before
// is not ended. State only ever moves towards "revoked"; there is no way back but a new token. A check that cannot be answered
// is [ErrUnavailable], and the token is refused: there is no switch to fail open. A check is never answered by a standby in
// recovery, which may not know yet; a logical replica, and a former primary that was not shut down, cannot be told from a
// primary.
//
// A revocation that returned nil survives a crash of the server, because a weak synchronous_commit is raised for its
// transaction. In a transaction of the caller's it is true when that commits. What an asynchronous failover loses of the
// commits that were acknowledged, it loses of revocations too.
//
// # Signing in again
//
// After [Revoker.RevokeUser] the user signs in again, and the new token must be told from the old ones. The comment on
// [Epochs] has the two rules for that, with their proofs. In short:
//
//   - A token of your own carries the epochs that were read in the snapshot that read the credentials, or before it: see
//     [Claims] and [WithEpochClaim]. It is exact, and no clock takes part.
//   - Any other token is judged by its iat, which has whole seconds. Take it from [Store.IssueTime], before the credentials are
//     read, or after the commit of a password change. Let RevokeUser be the last statement before the commit: a token that
//     is stamped between the two is not seen. Neither is one that is signed after the commit by a login which checked the old
//     password before it, or one of an issuer whose clock is ahead ([WithIssuerSkew]).
//
// # Clocks
//
// The database's clock decides about revocations and retention, the validator's about exp, nbf and iat. Rows are kept for
// [RetentionMargin] past the expiry of their token, and no check accepts a token that by the database's clock expired longer
// than [MaxLeeway] ago. So a swept row could matter only where that clock goes back by nearly an hour. Epochs never go back,
// also where the database's clock does.
//
// How long a row is kept depends on constants and not on options, because the program that revokes and the one that
// validates are configured apart: see [MaxTokenLifetime].
//
// # Failure
//
// Errors match [ErrRevoked], [ErrInvalidToken] or [ErrUnavailable], and exactly one of them where they come from a check. A
// write that fails with ErrUnavailable may have happened; every write can be repeated. [Revoker.Redeem] is the exception
// that needs thought: a repeat of a call whose answer was lost finds the token spent. A check has a timeout of its own, see
// [WithCheckTimeout]; a write has none but its ctx.
//
// # Testing
//
// Package revoketest has a store in memory, one that fails on purpose, and the conformance suite for stores.
package revoke
