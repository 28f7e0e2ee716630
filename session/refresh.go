package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/cancelled"
	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/postgres"
)

// Refresh answers a refresh token with an access token and, mostly, a refresh token. It is
// one round trip, and takes a sixth of the grace at most, of which the claims of the app and the
// signatures may take half. To end a replayed session may take as long again.
//
// The current refresh token rotates, once in a grace at most: of any number of calls one
// gets the next generation (Rotated). While the last rotation is younger than the grace,
// the token before the current one is answered with the current one again, and the current
// one with an access token alone (Repeated): the client keeps the refresh token that it
// has. So tabs that refresh at once, and a client that has lost an answer, go on. Any other
// use of an older token is a replay, which ends the session.
//
// An error is a [*RefreshError], and says why. After an error with reason Unavailable the client
// repeats the call with the same token.
//
// Every answer is signed before the database is asked. So if the signer or the function of
// [WithClaims] fails, the session stays as it is, and the reason is Unavailable. A session that is
// over is still answered as such, because the claims of a user who was deleted can never be had. A
// replay still ends the session.
func (s *Sessions) Refresh(ctx context.Context, refreshToken string, device Device) (Tokens, error) {
	r := refresh{Sessions: s, operation: "Refresh", arrived: time.Now()}
	tokens, failed := r.answer(ctx, refreshToken, device)
	var err error
	if failed != nil {
		tokens, err = Tokens{}, failed
	}
	if s.hooks != nil {
		event := revoke.RefreshEvent{
			Outcome: string(tokens.Outcome), Duration: time.Since(r.arrived), Err: err, Cancelled: cancelled.ByCaller(ctx, err),
		}
		if failed != nil {
			event.Outcome = string(failed.Reason)
		}
		if seen := r.first; seen != nil && seen.found {
			event.Behind = seen.generation - r.presented.generation
			stored := !s.withoutDetails && (seen.agent != "" || seen.address != "")
			event.OtherAgent = stored && seen.agent != r.device.UserAgent
			event.OtherAddress = stored && seen.address != r.device.Address
		}
		for _, hook := range s.hooks {
			hook.OnRefresh(ctx, event)
		}
	}
	return tokens, err
}

// refresh is one refresh under way.
type refresh struct {
	*Sessions
	operation string
	arrived   time.Time // with the monotonic clock
	sent      time.Time // when the statement was sent
	device    Device    // as it is stored
	presented signed
	first     *sighting // what the statement has seen, nil before
}

var (
	errOtherClient = errors.New("the refresh token is another client's")
	errNoRow       = errors.New("the database knows no such session")
	errEarlier     = errors.New("the request came before the last rotation, and was held up; repeat it")
	errMovedBack   = errors.New("the session changed while it was refreshed; repeat the call")
)

// errSuperseded is the cause of Replayed.
func errSuperseded(presented, current int64) error {
	return fmt.Errorf("generation %d was used again, and %d is the current one", presented, current)
}

func (r *refresh) answer(ctx context.Context, text string, device Device) (Tokens, *RefreshError) {
	caller := ctx
	ctx, cancel := context.WithDeadline(ctx, r.arrived.Add(r.deadline()))
	defer cancel()
	presented, fault, invalid := r.readRefresh(text)
	r.presented = presented
	switch {
	case fault != nil:
		return Tokens{}, r.because(Unavailable, fault)
	case invalid != nil:
		return Tokens{}, r.because(Invalid, invalid)
	case presented.client != device.Client:
		return Tokens{}, r.because(Invalid, errOtherClient)
	}
	// A device that cannot be stored is the app's fault. The token may be good.
	if r.device, fault = device.stored(r.withoutDetails); fault != nil {
		return Tokens{}, r.because(Unavailable, fault)
	}
	next := presented
	next.generation++
	signing, stop := context.WithDeadline(ctx, r.arrived.Add(r.deadline()/2))
	defer stop()
	m, err := r.materialFor(signing, next, false)
	if err != nil {
		return Tokens{}, r.unsigned(caller, err)
	}
	tokens, err := r.mint(signing, next, m)
	if err != nil {
		return Tokens{}, r.unsigned(caller, err)
	}
	seen, err := r.rotate(ctx)
	if postgres.IsRetryable(err) && !postgres.OfLostRow(err) {
		seen, err = r.rotate(ctx)
	}
	if postgres.OfLostRow(err) {
		// Only a row that its snapshot showed as one that can be rotated was to be locked.
		return r.again(ctx, tokens, m)
	}
	if err != nil {
		return Tokens{}, r.because(Unavailable, r.database.Problem(ctx, err))
	}
	r.first = seen
	if failed := r.judge(seen); failed != nil {
		return Tokens{}, failed
	}
	switch {
	case seen.written && seen.action == "rotate":
		tokens.Outcome = Rotated
		return tokens, nil
	case seen.written:
		return repeated(tokens), nil
	case seen.action != "none":
		return r.again(ctx, tokens, m)
	case presented.generation == seen.generation:
		return repeated(tokens), nil
	}
	switch {
	case r.isReplay(seen, r.sent.Sub(r.arrived)):
		return Tokens{}, r.replayed(caller, seen)
	case presented.generation == seen.generation-1:
		tokens.Outcome = Repeated
		return tokens, nil
	}
	return Tokens{}, r.failed(seen, Unavailable, errEarlier)
}

// isReplay reports whether the token is of an older generation, and replayed: it is the
// predecessor, and the request came a grace after the last rotation or later, or it is older, and
// the request came after the last rotation. The request's own wait in the app does not count
// against it.
func (r *refresh) isReplay(seen *sighting, waited time.Duration) bool {
	came := seen.now - waited.Microseconds()
	switch behind := seen.generation - r.presented.generation; {
	case behind <= 0:
		return false
	case behind == 1:
		return came >= seen.refreshedAt+r.grace.Microseconds()
	}
	return came >= seen.refreshedAt
}

// unsigned is the failure of a refresh if its tokens cannot be made. The session may be over
// all the same, and a replay ends it. Nothing else is written. The look has a time of its own,
// because a signer that hangs, or a client that has hung up, hides no replay.
func (r *refresh) unsigned(caller context.Context, cause error) *RefreshError {
	looking, cancel := context.WithTimeout(context.WithoutCancel(caller), r.deadline()/2)
	defer cancel()
	seen, err := r.look(looking)
	if err != nil {
		return r.because(Unavailable, cause)
	}
	r.first = seen
	switch failed := r.judge(seen); {
	case failed != nil && failed.IsOver():
		return failed
	case failed == nil && r.isReplay(seen, time.Since(r.arrived)):
		return r.replayed(caller, seen)
	}
	return r.failed(seen, Unavailable, cause)
}

// look reads what a refresh is judged by, and writes nothing.
func (r *refresh) look(ctx context.Context) (*sighting, error) {
	seen := &sighting{columns: seenColumns}
	session, user, issuer := keysOf(r.presented.user, r.presented.session.ID)
	err := r.database.Read(ctx, postgres.Statement{SQL: r.sql.see, Args: []any{session, user, issuer}}, seen)
	return seen, err
}

// repeated answers the current generation. Without a refresh token a late answer cannot overwrite a
// newer one in the client.
func repeated(tokens Tokens) Tokens {
	tokens.Refresh, tokens.Outcome = "", Repeated
	return tokens
}

// again answers a call that saw its token as one that could be rotated, and did not win. It
// reads the row in a second statement, because the first has a snapshot from before the
// wait. It is answered as the predecessor, by any reading of the clock: the winner's COMMIT may
// have taken longer than the grace.
func (r *refresh) again(ctx context.Context, tokens Tokens, m material) (Tokens, *RefreshError) {
	seen, err := r.look(ctx)
	if err != nil {
		return Tokens{}, r.because(Unavailable, r.database.Problem(ctx, err))
	}
	if r.first == nil {
		r.first = seen
	}
	if failed := r.judge(seen); failed != nil {
		return Tokens{}, failed
	}
	switch ahead := seen.generation - r.presented.generation; {
	case ahead == 0:
		return repeated(tokens), nil
	case ahead < 0:
		return Tokens{}, r.failed(seen, Unavailable, errMovedBack)
	case ahead > 1: // several rotations within the wait, as with a grace of 0
		current := r.presented
		current.generation = seen.generation
		if tokens, err = r.mint(ctx, current, m); err != nil {
			return Tokens{}, r.because(Unavailable, err)
		}
	}
	tokens.Outcome = Repeated
	return tokens, nil
}

// replayed ends the session in a transaction of its own. The caller is told so only after
// the commit; whether it still waits makes no difference to the end.
func (r *refresh) replayed(ctx context.Context, seen *sighting) *RefreshError {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.deadline())
	defer cancel()
	err := r.inTx(ending, "Refresh", func(t *Tx) error {
		_, err := t.end(ending, "Refresh", r.presented.user, r.presented.session.ID, revoke.WithReason("a refresh token was used again"))
		return err
	})
	if err != nil {
		return r.failed(seen, Unavailable, err)
	}
	r.sync(ending)
	return r.failed(seen, Replayed, errSuperseded(r.presented.generation, seen.generation))
}

// judge returns why the session cannot be refreshed by a token of any generation.
func (r *refresh) judge(seen *sighting) *RefreshError {
	var v revoke.Verdict
	if _, err := v.OfToken(r.presented.token()); err != nil {
		return r.failed(seen, Invalid, err)
	}
	for i, scope := range v.Scopes() {
		if since, found := seen.since[scope]; found {
			v.Found(i, since)
		}
	}
	verdict := v.Check(time.UnixMicro(seen.now))
	var revoked *revoke.RevokedError
	isRevoked := errors.As(verdict, &revoked)
	expiresAt := r.presented.expiresAt.UnixMicro()
	if seen.found {
		expiresAt = seen.expiresAt
	}
	switch {
	case seen.found && seen.client != r.presented.client:
		return r.failed(seen, Invalid, errOtherClient)
	case seen.bound:
		return r.failed(seen, Invalid, errBound)
	case seen.ended, isRevoked && revoked.Scope == revoke.ScopeSession:
		return r.failed(seen, Ended, nil)
	case isRevoked:
		failed := r.failed(seen, Revoked, nil)
		failed.Scope = revoked.Scope
		return failed
	case expiresAt <= seen.now:
		return r.failed(seen, Over, nil)
	case !seen.found:
		return r.failed(seen, Unknown, errNoRow)
	case seen.usedAt()+r.idle.Microseconds() <= seen.now:
		return r.failed(seen, Idle, nil)
	case verdict != nil:
		return r.failed(seen, Invalid, verdict)
	}
	return nil
}

// because is a failure before the database has answered.
func (r *refresh) because(reason Reason, cause error) *RefreshError {
	failed := &RefreshError{Reason: reason, operation: r.operation, cause: plain(cause)}
	if g := r.presented; g.generation > 0 {
		failed.Session, failed.User, failed.Client, failed.Presented = g.session, g.user, g.client, g.generation
	}
	return failed
}

// failed is a failure by what the database has answered.
func (r *refresh) failed(seen *sighting, reason Reason, cause error) *RefreshError {
	failed := r.because(reason, cause)
	failed.Current, failed.At = seen.generation, time.UnixMicro(seen.now).UTC()
	if seen.refreshedAt != 0 {
		failed.RefreshedAt = time.UnixMicro(seen.refreshedAt).UTC()
	}
	return failed
}

// rotate sends the statement of a refresh.
func (r *refresh) rotate(ctx context.Context) (*sighting, error) {
	seen := &sighting{columns: seenColumns + 2}
	g := r.presented
	session, user, issuer := keysOf(g.user, g.session.ID)
	args := append([]any{
		session, user, issuer, strconv.FormatInt(g.generation, 10), strconv.FormatInt(g.epochs.User, 10), strconv.FormatInt(g.epochs.Issuer, 10),
		postgres.HexText(g.client), postgres.SecondsText(r.idle), postgres.SecondsText(r.grace),
	}, r.device.args()...)
	err := r.database.Alone(ctx, postgres.Statement{SQL: r.sql.refresh, Args: args}, seen, func() { r.sent = time.Now() })
	return seen, err
}

// sighting is what one statement has seen of a session, from one snapshot. Times are in
// microseconds since 1970, and 0 where there is none.
type sighting struct {
	circumstances.Circumstances
	columns int

	now        int64
	since      map[revoke.Scope]int64 // :: scope → since of what is revoked
	found      bool                   // there is a row
	generation int64

	refreshedAt, startedAt, expiresAt int64

	ended, bound           bool
	client, agent, address string
	epochs                 revoke.Epochs

	action  string // what the statement was to do
	written bool   // whether it did
}

// seenColumns is the number of columns of what was seen.
const seenColumns = 16

// usedAt is when the session was used last.
func (v *sighting) usedAt() int64 {
	if v.refreshedAt != 0 {
		return v.refreshedAt
	}
	return v.startedAt
}

func (v *sighting) Reset() { *v = sighting{columns: v.columns} }

func (v *sighting) Seen() circumstances.Circumstances { return v.Circumstances }

func (v *sighting) Scan(current postgres.Row) error {
	c := postgres.ReadColumns(current, v.columns)
	if c.Err != nil {
		return c.Err
	}
	if err := v.Read(c.Text()); err != nil {
		return err
	}
	v.now = c.Number()
	v.since = make(map[revoke.Scope]int64)
	for _, scope := range [...]revoke.Scope{revoke.ScopeSession, revoke.ScopeUser, revoke.ScopeIssuer} {
		if text := c.Text(); text != "" {
			since, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return fmt.Errorf("%w: %w", postgres.ErrForeignAnswer, err)
			}
			v.since[scope] = since
		}
	}
	v.generation, v.refreshedAt, v.startedAt, v.expiresAt = c.Number(), c.Number(), c.Number(), c.Number()
	v.found = v.generation != 0
	v.ended, v.bound = c.Text() == "true", c.Text() == "true"
	v.client, v.agent, v.address = c.Name(), c.Name(), c.Name()
	v.epochs = revoke.Epochs{User: c.Number(), Issuer: c.Number()}
	if v.columns > seenColumns {
		v.action = c.Text()
		v.written = c.Text() != ""
	}
	return c.Err
}
