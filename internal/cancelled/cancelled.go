// Package cancelled tells an outage from a caller that did not wait for the answer.
package cancelled

import (
	"context"
	"errors"
)

// ByCaller reports whether a call failed because its own ctx was cancelled, as the context of a
// request is when the client disconnects. A deadline that has passed is an outage: the caller
// waited, and got no answer. That includes a deadline that cancels ctx with
// context.DeadlineExceeded as the cause.
func ByCaller(ctx context.Context, err error) bool {
	return errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled) &&
		!errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}
