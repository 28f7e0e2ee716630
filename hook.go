package revoke

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Hook hears of events, for logs, metrics and traces. It implements one or more of
// [CheckHook], [ValidateHook], [WriteHook], [SweepHook], [MirrorHook] and [RefreshHook],
// and hears of those events alone. No field and no error text of an event contains a jti, a
// sub, a sid or the text of a token. A hook is called in the goroutine of the call that it
// hears of, from several at once, so it must not block. See [WithHook].
//
// A call that its caller cancelled, such as one for a client that has disconnected, says nothing
// about the database. Its event has Cancelled set; metrics of outages leave it out. A deadline
// that has passed, of the caller or of [WithCheckTimeout], does not set it.
type Hook any

// CheckHook hears of every Check of a [Postgres] and of a mirror.
type CheckHook interface {
	OnCheck(ctx context.Context, event CheckEvent)
}

// CheckEvent is one Check.
type CheckEvent struct {
	FromMemory bool          // a mirror answered from memory; false where Postgres was asked
	Duration   time.Duration // of the whole call
	Err        error         // what Check returned
	Cancelled  bool          // the caller cancelled ctx; Err matches ErrUnavailable then
}

// ValidateHook hears of every call of [Validator.Validate] that returns.
type ValidateHook interface {
	OnValidate(ctx context.Context, event ValidateEvent)
}

// ValidateEvent is one Validate.
type ValidateEvent struct {
	Duration  time.Duration // of the whole call, its Check included
	Err       error         // what Validate returned
	Cancelled bool          // as in CheckEvent

	// Remembered says that the signature was not verified anew: the same text has verified by the
	// same key before. See WithSignatureMemory. It is false for every token where that is off.
	Remembered bool
}

// WriteHook hears of every write: by a [Postgres], and by a Revoker of [Postgres.WithTx], of which
// the commit is the caller's.
type WriteHook interface {
	OnWrite(ctx context.Context, event WriteEvent)
}

// WriteEvent is one write.
type WriteEvent struct {
	Operation string // the method, such as "RevokeUser"
	Scope     Scope  // what it revokes
	Count     int    // of revocations that were asked for
	InTx      bool   // in a transaction of the caller's, which may still be rolled back
	Duration  time.Duration
	Err       error // what the method returned; an ErrUnavailable if it ended by a panic
	Cancelled bool  // the caller's ctx was cancelled; the outcome is unknown then
}

// SweepHook hears of every pass of a [Sweeper], except one that its ctx has ended.
type SweepHook interface {
	OnSweep(ctx context.Context, event SweepEvent)
}

// SweepEvent is one pass.
type SweepEvent struct {
	Deleted  map[Scope]int64 // rows by scope; a scope of which none was deleted is missing
	Batches  int             // transactions, those that found nothing among them
	Duration time.Duration   // by this machine's clock
	Err      error           // why the pass failed; nil for one that finished
}

// Total returns how many rows were deleted.
func (e SweepEvent) Total() (rows int64) {
	for _, n := range e.Deleted {
		rows += n
	}
	return rows
}

// MirrorHook hears of changes in a mirror's state, in the goroutine of its Run.
type MirrorHook interface {
	OnMirror(ctx context.Context, event MirrorEvent)
}

// MirrorEvent is a mirror that has loaded its table, or has lost its session.
type MirrorEvent struct {
	Entries int   // revocations in memory
	Exact   bool  // whether changes are read one by one, and not all rows at every poll
	Err     error // why the memory is not kept up to date; nil after a load
}

// RefreshHook hears of every refresh of a session: see package session.
type RefreshHook interface {
	OnRefresh(ctx context.Context, event RefreshEvent)
}

// RefreshEvent is one refresh of a session.
type RefreshEvent struct {
	// Outcome is rotated or repeated, or why the refresh failed: replayed, ended, idle, over,
	// revoked, unknown, invalid or unavailable.
	Outcome string
	// Behind is by how many generations the refresh token was behind that of the session: 0 for the
	// current one, 1 for the one before, which was used again. It is 0 where the database did not
	// answer, or knows no such session.
	Behind int64
	// OtherAgent and OtherAddress say whether the user agent and the address differ from
	// those of the last rotation, or of the start. Of a token that was used again they tell
	// a second tab from a second device. They are false where these were not stored.
	OtherAgent, OtherAddress bool
	Duration                 time.Duration // of the whole call
	Err                      error         // what Refresh returned
	Cancelled                bool          // as in CheckEvent
}

// WithHook adds a hook, to a store or to a validator. A store's sweeper, mirror and
// sessions use the hooks of the store. It may be given several times. A value that
// implements none of the hook interfaces is an error. Default: none, which costs nothing.
func WithHook(hook Hook) interface {
	PostgresOption
	ValidatorOption
} {
	return hookOption{hook}
}

type hookOption struct{ hook Hook }

func (o hookOption) toPostgres(c *postgresConfig) error   { return c.hooks.add(o.hook) }
func (o hookOption) toValidator(c *validatorConfig) error { return c.hooks.add(o.hook) }

// hooks are hooks by the event that they hear of.
type hooks struct {
	all      []Hook
	check    []CheckHook
	validate []ValidateHook
	write    []WriteHook
	sweep    []SweepHook
}

func (h *hooks) add(hook Hook) error {
	if hook == nil {
		return errors.New("hook is nil")
	}
	check, isCheck := hook.(CheckHook)
	if isCheck {
		h.check = append(h.check, check)
	}
	validate, isValidate := hook.(ValidateHook)
	if isValidate {
		h.validate = append(h.validate, validate)
	}
	write, isWrite := hook.(WriteHook)
	if isWrite {
		h.write = append(h.write, write)
	}
	sweep, isSweep := hook.(SweepHook)
	if isSweep {
		h.sweep = append(h.sweep, sweep)
	}
	_, isMirror := hook.(MirrorHook)
	_, isRefresh := hook.(RefreshHook)
	if !isCheck && !isValidate && !isWrite && !isSweep && !isMirror && !isRefresh {
		return fmt.Errorf("hook of type %T implements none of CheckHook, ValidateHook, WriteHook, SweepHook, MirrorHook and RefreshHook", hook)
	}
	h.all = append(h.all, hook)
	return nil
}
