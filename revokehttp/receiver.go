package revokehttp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/pgrevoke/revoke"
)

// ReceiverOption configures what receives logouts from elsewhere: [NewBackChannelLogout] and [NewGlobalTokenRevocation].
type ReceiverOption interface{ toReceiver(*receiver) error }

// receiver is what both have.
type receiver struct {
	common
	store  revoke.Store
	record record
}

func (o CommonOption) toReceiver(r *receiver) error { return run(o, &r.common) }
func (o RecordOption) toReceiver(r *receiver) error { return run(o, &r.record) }

// newReceiver returns a receiver that notes reason where nothing else is said; operation is for the error.
func newReceiver(operation, reason string, store revoke.Store, opts []ReceiverOption) (receiver, error) {
	if store == nil {
		return receiver{}, fmt.Errorf("revokehttp: %s: store is nil", operation)
	}
	rec := receiver{common: newCommon(), store: store}
	if err := apply(operation, &rec, opts, ReceiverOption.toReceiver); err != nil {
		return receiver{}, err
	}
	rec.record = rec.record.after(revoke.WithReason(reason))
	return rec, nil
}

// receive answers a request with status once do returns nil, which it does only when what was asked for is durable. The
// sender who hangs up has asked all the same.
func (rec *receiver) receive(w http.ResponseWriter, r *http.Request, status int, do func(*http.Request) error) {
	r, cancel := detached(r)
	defer cancel()
	err := do(r)
	if err == nil {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Pragma", "no-cache")
		w.WriteHeader(status)
		return
	}
	rec.report(r, err)
	if answer := (*protocolError)(nil); errors.As(err, &answer) {
		answer.write(w)
		return
	}
	writeUnavailable(w, rec.retryAfter)
}

// answering makes an error whose cause is reported, and which is answered as protocolError says.
func answering(answer *protocolError, cause error) error { return fmt.Errorf("%w: %w", answer, cause) }
