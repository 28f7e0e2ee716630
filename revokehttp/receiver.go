package revokehttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/pgrevoke/revoke"
)

// ReceiverOption configures what receives logouts from elsewhere: [NewBackChannelLogout] and [NewGlobalTokenRevocation].
type ReceiverOption func(*receiverConfig) error

type receiverConfig struct {
	report func(*http.Request, error)
	record []revoke.RevokeOption
}

// WithReceiverReport makes the receiver call report with the reason of each refusal, for logs and metrics: what it tells the
// sender says less. It contains no token. Default: none.
func WithReceiverReport(report func(r *http.Request, err error)) ReceiverOption {
	return func(c *receiverConfig) error {
		if report == nil {
			return errors.New("report is nil")
		}
		c.report = report
		return nil
	}
}

// WithReceiverRecord notes reason and actor of the revocations: see revoke.WithReason and revoke.WithActor. Default: a reason
// that names the protocol.
func WithReceiverRecord(opts ...revoke.RevokeOption) ReceiverOption {
	return func(c *receiverConfig) error {
		_, err := revoke.NewRecord(opts...)
		c.record = opts
		return err
	}
}

func newReceiverConfig(reason string, opts []ReceiverOption) (receiverConfig, error) {
	c := receiverConfig{
		report: func(*http.Request, error) {},
		record: []revoke.RevokeOption{revoke.WithReason(reason)},
	}
	for _, opt := range opts {
		if opt == nil {
			return c, errors.New("an option is nil")
		}
		if err := opt(&c); err != nil {
			return c, err
		}
	}
	return c, nil
}

// receive answers a request with status once do returns nil, which it does only when what was asked for is durable. The
// sender who hangs up has asked all the same.
func (c receiverConfig) receive(w http.ResponseWriter, r *http.Request, status int, do func(*http.Request) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), logoutTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	err := do(r)
	if err == nil {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Pragma", "no-cache")
		w.WriteHeader(status)
		return
	}
	c.report(r, err)
	if answer := (*protocolError)(nil); errors.As(err, &answer) {
		answer.write(w)
		return
	}
	writeUnavailable(w, DefaultRetryAfter)
}

// answering makes an error whose cause is reported, and which is answered as protocolError says.
func answering(answer *protocolError, cause error) error { return fmt.Errorf("%w: %w", answer, cause) }
