package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// newRueidis returns a client, which pipelines the commands of concurrent callers by default.
func newRueidis(b *testing.B, socket string) rueidis.Client {
	b.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{socket},
		DialCtxFn: func(ctx context.Context, path string, dialer *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
	})
	testkit.Must(b, err)
	b.Cleanup(client.Close)
	return client
}

// rueidisMGET asks for token and user in one command.
func rueidisMGET(client rueidis.Client) func(context.Context, *request) error {
	return func(ctx context.Context, r *request) error {
		values, err := client.Do(ctx, client.B().Mget().Key("revoked:"+r.token.ID, "epoch:"+r.token.Subject).Build()).ToArray()
		if err != nil {
			return err
		}
		return judgeMessages(r, values[0], values[1])
	}
}

// rueidisCached asks its cache for both. Redis notifies the cache of changes. This is its best
// case: nothing changes, and it holds every key that is asked for.
func rueidisCached(client rueidis.Client) func(context.Context, *request) error {
	return func(ctx context.Context, r *request) error {
		answers := client.DoMultiCache(ctx,
			rueidis.CT(client.B().Get().Key("revoked:"+r.token.ID).Cache(), time.Hour),
			rueidis.CT(client.B().Get().Key("epoch:"+r.token.Subject).Cache(), time.Hour))
		token, err := answers[0].ToMessage()
		if err != nil && !rueidis.IsRedisNil(err) {
			return err
		}
		epoch, err := answers[1].ToMessage()
		if err != nil && !rueidis.IsRedisNil(err) {
			return err
		}
		return judgeMessages(r, token, epoch)
	}
}

// warm asks for every request once, which fills a cache.
func warm(b *testing.B, requests []request, ask func(context.Context, *request) error) {
	b.Helper()
	for i := range requests {
		testkit.Must(b, ask(b.Context(), &requests[i]))
	}
}

func judgeMessages(r *request, token, epoch rueidis.RedisMessage) error {
	if !token.IsNil() {
		return errRevoked
	}
	if epoch.IsNil() {
		return errors.New("rueidis: there is no epoch")
	}
	before, err := epoch.ToString()
	if err != nil {
		return err
	}
	return judge(r, before)
}
