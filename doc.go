// Package revoke makes JSON Web Tokens revocable for apps that run on Postgres: a denylist of
// tokens (also called a blocklist or blacklist), and "log out all devices" for a user.
//
// A JWT is valid until it expires, even after a logout, a password change or a stolen laptop.
// This package keeps what has been revoked in the app's own database, writes it in the app's own
// transactions, and checks it together with the signature.
//
// # Where to begin
//
// Call migrations.Up once, make a store with [NewPostgres], ask [Postgres.Ready], make a
// validator with [NewValidator], and call [Validator.Validate] for each request. Sign
// tokens of your own from [NewClaims], or leave them to package session, which also refreshes
// them. The README shows a whole program. Package revokehttp
// does this as middleware, package mirror answers checks from memory, package oauth has the
// endpoints of RFC 7009 and RFC 7662, and package signals receives logouts from identity
// providers.
//
// # The model
//
// A token is known by its issuer and jti, a session by issuer and sid, a user by issuer and
// sub. Each of them can be revoked, and so can an issuer. A row of a token or a session
// says "revoked". A row of a user or an issuer has an instant, the epoch; tokens issued
// before it are refused. Elsewhere an epoch is called "not before" or "valid since".
// [Postgres] writes these rows and answers a [Checker.Check] from all of them in one round
// trip. [Validator] verifies the signature, reads identity and times strictly from the
// verified bytes, and then asks. Other issuers write the identity elsewhere: see
// [WithClaimNames], [WithDerivedID] and [WithIssuerAliases]. A token with the claim act
// (RFC 8693 §4.1), of an operator who acts for a user, is refused once either of the two
// was revoked: see Token.Actor. Package issuers has these options for well-known issuers. A
// [ValidatorSet] is for several issuers.
//
// The same token comes with every request. A validator remembers that its text verified by its key,
// in a memory of a few megabytes, and judges all else at each call: see [WithSignatureMemory].
//
// # The guarantee
//
// Once a revocation has committed, no validator accepts the token: at once where it asks
// Postgres, and within the mirror's bound, one second by default, where it asks a mirror. A
// request that was let in before is not ended. State only moves towards "revoked"; to let a
// user in again, issue a new token.
//
// A revocation of a token is kept until that token has expired. An issuer may give one jti to
// several tokens, such as an access token and its refresh token, or put the id of a session or a
// user into it. RevokeToken and Redeem of one such token refuse all of them. But when the one that
// was given has expired and a sweeper has deleted its row, a longer-lived one is accepted again.
// [WithSharedIDs] closes that.
//
// A revocation is found under the names that the token had for the validator. A change of the
// options that say how an issuer's tokens are identified asks for other rows, and what was revoked
// under the old names is accepted again. Call RevokeIssuer with such a change.
//
// A check that cannot be answered is [ErrUnavailable], and the token is refused: there is no
// switch to fail open. A standby in recovery never answers a check, because it may not know the
// latest revocations. A logical replica, and a former primary that was not shut down, cannot be
// told from a primary.
//
// A backup that is restored lacks what was revoked since it was made. Call [Revoker.RevokeIssuer]
// for each issuer before the first check then: every user signs in again, and no token from before
// is accepted.
//
// A revocation ends tokens and blocks no account. A user who was revoked may sign in again;
// to keep a user out, the app, or the issuer, refuses the sign-in. A refresh token of
// another issuer outlives RevokeUser as well: the issuer does not ask here, and makes an
// access token that is newer than the revocation. Revoke the refresh token there too. Later
// tokens of a session that was revoked are refused, where they carry its sid.
//
// A revocation that returned nil survives a crash of the server, because a weak
// synchronous_commit is raised for its transaction. In a transaction of the caller's it
// takes effect when that commits. A failover to an asynchronous standby loses revocations
// as it loses other acknowledged commits. Where a commit waits for a synchronous standby
// and the wait is cancelled, Postgres reports a success and a warning; a write then returns
// [ErrUnavailable], because a failover may lose it.
//
// # Signing in again
//
// After [Revoker.RevokeUser] the user signs in again, and the new token must be told from the
// old ones. The comment on [Epochs] has two rules for that, with their proofs. In short:
//
//   - A token of your own carries the epochs that were read in the snapshot that read the
//     credentials, or before it: see [NewClaims], [WithEpochClaim], and [Epochs.Scan] for the
//     statement that reads both. The rule is exact, and no
//     clock takes part.
//   - Any other token is judged by its iat, less the skew of its issuer: the most by which the
//     issuer's stamps may be ahead of the true time ([WithIssuerSkew], 5 s by default). What was
//     accepted before a revocation is refused after it, by any clock of the issuer. A
//     token that is presented for the first time after it is refused too, where the skew is
//     right. A sign-in within a few seconds after the revocation has to be repeated.
//   - Where such tokens are your own, take the iat from [Store.IssueTime], before the
//     credentials are read, or after the commit of a password change, and give every validator
//     of them [WithIssueTime]. They have no skew, and a sign-in works within about a second.
//
// Under the iat rule, let RevokeUser be the last statement before the commit: the rule does not
// see a token that is stamped between the two, nor one that is signed after the commit by a login
// which checked the old password before it.
//
// # Clocks
//
// The database's clock decides about revocations, about retention, and whether an iat or an
// epoch claim is ahead; the validator's about exp, nbf, and the iat of a token with an
// epoch claim. A mirror accepts from memory where it knows that the database's clock has
// reached the stamp, and asks otherwise. Rows are kept for [DefaultMargin] past the
// expiry of their token, and no check accepts a token that by the database's clock expired
// longer than [MaxLeeway] ago. So a swept row could matter only where that clock goes back
// by nearly an hour. Epochs never go back, even where the database's clock does.
//
// A database's clock that is ahead by more than DefaultMargin lets a sweep delete rows of
// tokens that have not expired yet. Such a token is accepted again once the clock is right:
// revoke it again, and stop the sweepers until then. A revocation that is made while the
// clock is ahead is kept for DefaultMargin by that clock, and Redeem then refuses tokens
// that look expired and spends nothing.
//
// How long a row is kept depends on constants and not on options, because the program that
// revokes and the one that validates are configured apart: see [MaxTokenLifetime].
//
// # Failure
//
// Errors match [ErrRevoked], [ErrInvalidToken] or [ErrUnavailable]; an error of a check matches
// exactly one of them. A write that fails with ErrUnavailable may have happened; every write
// can be repeated. [Revoker.Redeem] needs thought: if the answer of a call is lost, a repeat
// finds the token spent. A check has a timeout of its own, see [WithCheckTimeout]; a write has
// none but its ctx, and a bound on its wait for a connection.
//
// # Observing and testing
//
// [WithHook] reports checks, validations, writes, sweeps, refreshes and the mirror's state.
// Package revoketest has a store in memory, a store that fails on purpose, and the conformance
// suite for stores; package revoketest/pgtest has a real Postgres for the tests of apps.
package revoke
