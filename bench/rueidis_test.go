package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// newRueidis returns a client, which pipelines the commands of concurrent callers by default.
func newRueidis(b *testing.B, network, address string) rueidis.Client {
	b.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{address},
		DialCtxFn: func(ctx context.Context, address string, dialer *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
	})
	testkit.Must(b, err)
	b.Cleanup(client.Close)
	return client
}

// rueidisMGET asks for token, session, user and issuer in one command.
func rueidisMGET(client rueidis.Client) func(context.Context, *request) error {
	return func(ctx context.Context, r *request) error {
		values, err := client.Do(ctx, client.B().Mget().Key("revoked:"+r.token.ID, "session:"+r.token.SessionID,
			"epoch:"+r.token.Subject, "issuer:"+r.token.Issuer).Build()).ToArray()
		if err != nil {
			return err
		}
		return judgeMessages(r, values)
	}
}

// rueidisCached asks its cache for the four. Redis notifies the cache of changes. This is its best
// case: nothing changes, and it holds every key that is asked for.
func rueidisCached(client rueidis.Client) func(context.Context, *request) error {
	return func(ctx context.Context, r *request) error {
		answers := client.DoMultiCache(ctx,
			rueidis.CT(client.B().Get().Key("revoked:"+r.token.ID).Cache(), time.Hour),
			rueidis.CT(client.B().Get().Key("session:"+r.token.SessionID).Cache(), time.Hour),
			rueidis.CT(client.B().Get().Key("epoch:"+r.token.Subject).Cache(), time.Hour),
			rueidis.CT(client.B().Get().Key("issuer:"+r.token.Issuer).Cache(), time.Hour))
		var values [4]rueidis.RedisMessage
		for i, answer := range answers {
			value, err := answer.ToMessage()
			if err != nil && !rueidis.IsRedisNil(err) {
				return err
			}
			values[i] = value
		}
		return judgeMessages(r, values[:])
	}
}

// warm asks for every request once, from several callers, which fills a cache.
func warm(b *testing.B, requests []request, ask func(context.Context, *request) error) {
	b.Helper()
	errs := make([]error, connections)
	var group sync.WaitGroup
	for caller := range connections {
		group.Go(func() {
			for i := caller; i < len(requests) && errs[caller] == nil; i += connections {
				errs[caller] = ask(b.Context(), &requests[i])
			}
		})
	}
	group.Wait()
	testkit.Must(b, errors.Join(errs...))
}

// judgeMessages judges the answers about token, session, user and issuer. Every user has an epoch.
func judgeMessages(r *request, values []rueidis.RedisMessage) error {
	for _, mark := range values[:2] {
		if !mark.IsNil() {
			return errRevoked
		}
	}
	if values[2].IsNil() {
		return errors.New("rueidis: there is no epoch")
	}
	for _, epoch := range values[2:] {
		if epoch.IsNil() {
			continue
		}
		before, err := epoch.ToString()
		if err != nil {
			return err
		}
		if err := judge(r, before); err != nil {
			return err
		}
	}
	return nil
}
