// Package session is for apps that sign their own tokens: it starts a session at the sign-in,
// refreshes it, lists the user's sessions and ends them. The sessions stand in the app's own
// Postgres, beside what package revoke keeps.
//
// # Where to begin
//
// Call migrations.Up once, and make the sessions with [New], from the store, the issuer's name, the
// audience of the access tokens and the [Keys]. [Sessions.NewValidator] makes the validator of the
// access tokens. A sign-in reads the hash of the password and the user's epochs in one statement,
// compares the password, and calls [Sessions.Start]. It hands out two tokens: the client sends the
// access token with each request, and the refresh token to [Sessions.Refresh] when the access token
// is about to expire. See the example.
//
// Package revokehttp has the refresh for browsers, as a handler with a cookie, and package
// oauth the token endpoint for other clients.
//
// # The tokens
//
// An access token is a JWT of the typ at+jwt with a jti, the sid of its session and the
// epoch claim. A validator accepts it for 12 to 15 minutes, and refuses it when the token,
// its session, its user or the issuer was revoked. A refresh token is a JWT of the typ
// rt+jwt with the sid, the client, its generation and the epochs, and no jti. Nothing
// secret is stored: who reads the database can make no token of it.
//
// Both carry the epochs of the sign-in, read before the credentials. A refresh passes them on and
// never reads them anew, so a revocation of the user ends the session at its next refresh too.
//
// # Rotation, and what it finds out
//
// Each refresh token is used once: a refresh rotates it to the next generation. A refresh
// token that is used again was copied, or the client has lost an answer, or two tabs have
// refreshed at once. These are told apart by time:
//
//   - The token rotates at most once in a grace of a minute ([WithGrace]), counted from the
//     rotation by the database's clock. Of any number of calls at once one wins.
//   - Within the grace the token before the current one is answered with the current one again, and
//     never with a third one. The current one is answered with an access token alone.
//   - Any other use of an older token is a replay. It ends the session, in a transaction of
//     its own, and is answered as [Replayed] when that has committed. The user's other
//     sessions go on.
//
// An honest user is never signed out by this while l × (D + R) + 2 × D is less than the
// grace: D is the time from sending a refresh to its answer, l is how many answers are lost
// in a row, and R is how soon the client tries again. A refresh takes a sixth of the grace
// at most, so with the default a client may lose an answer and try again within half a
// minute. What signs a user out all the same: an outage that is longer than the grace and
// begins just after a rotation, a laptop or a page that was closed in the middle of one and
// comes back after the grace, a database clock that jumps ahead by more than the grace.
//
// A thief is found out when thief and owner use copies of one token a grace or longer
// apart. One who refreshes within the grace of each of the owner's refreshes is not. So
// access tokens live for up to 20 % less at random, and nothing shown to a user tells when
// a refresh was: it would have to be guessed again each time. The event of a repeat
// (revoke.RefreshHook) says whether the user agent or the address differ from the
// rotation's.
//
// # When it fails
//
// A [RefreshError] says why. Five reasons prove that the session is over: [Replayed],
// [Ended], [Idle], [Over] and [Revoked]. Only after these does a client drop its refresh
// token ([RefreshError.IsOver]). [Unknown] and [Invalid] prove nothing of the session, and
// after [Unavailable] the client tries again with the same token. What a refresh answers is
// signed before the database is asked, so keys that cannot be had cost no token, and neither
// does a signature that does not verify.
//
// After a failover that has lost a rotation the newer token is taken over. A clock that was
// set back, or an app with a wrong clock, signs no user out.
//
// # Ends
//
// [Sessions.End] signs out one device, [Sessions.EndOthers] all but the one in hand, which
// gets a new session, [Sessions.EndAll] all of them, and [Sessions.EndToken] the session of
// a token. They write revocations, so that validators and mirrors refuse the access tokens
// as well. [Sessions.WithTx] joins a transaction, for a changed password. [Sessions.List]
// is for the page "where you are signed in". Call [Sessions.Sweep] about once an hour.
package session
