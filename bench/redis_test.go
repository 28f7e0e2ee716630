package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// startRedis starts a Redis of the benchmark's own that writes nothing to disk.
func startRedis(b *testing.B) *redis.Client {
	b.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		b.Fatalf("redis-server is not installed (Debian: apt-get install redis-server): %v", err)
	}
	socket := filepath.Join(b.TempDir(), "redis.sock")
	server := exec.CommandContext(context.Background(), path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no")
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, PoolSize: 64})
	b.Cleanup(func() { _ = client.Close() })
	deadline := time.After(30 * time.Second)
	for client.Ping(b.Context()).Err() != nil {
		select {
		case <-deadline:
			b.Fatal("redis-server does not answer")
		case <-time.After(10 * time.Millisecond):
		}
	}
	return client
}

// fillRedis writes revoked tokens and epochs as an app keeps them in Redis: keys with a time to live.
func fillRedis(b *testing.B, client *redis.Client, n int) {
	b.Helper()
	const batch = 10_000
	for first := 0; first < n; first += batch {
		_, err := client.Pipelined(b.Context(), func(p redis.Pipeliner) error {
			for i := first; i < min(n, first+batch); i++ {
				p.Set(b.Context(), fmt.Sprint("revoked:token-", i), "1", time.Hour)
				p.Set(b.Context(), fmt.Sprint("epoch:user-", i), "1700000000", time.Hour)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

var errRevoked = errors.New("revoked")

// existsThenGet asks for the token and then for the user's epoch.
func existsThenGet(client *redis.Client) func(context.Context, string, string) error {
	return func(ctx context.Context, id, subject string) error {
		n, err := client.Exists(ctx, "revoked:"+id).Result()
		if err != nil {
			return err
		}
		if n > 0 {
			return errRevoked
		}
		if _, err := client.Get(ctx, "epoch:"+subject).Result(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		return nil
	}
}

// pipelined asks for both in one round trip.
func pipelined(client *redis.Client) func(context.Context, string, string) error {
	return func(ctx context.Context, id, subject string) error {
		var exists *redis.IntCmd
		_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			exists = p.Exists(ctx, "revoked:"+id)
			p.Get(ctx, "epoch:"+subject)
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		if exists.Val() > 0 {
			return errRevoked
		}
		return nil
	}
}

// mget asks for both in one command.
func mget(client *redis.Client) func(context.Context, string, string) error {
	return func(ctx context.Context, id, subject string) error {
		values, err := client.MGet(ctx, "revoked:"+id, "epoch:"+subject).Result()
		if err == nil && values[0] != nil {
			err = errRevoked
		}
		return err
	}
}

// tidy makes a name for a benchmark.
func tidy(name string) string { return strings.ReplaceAll(name, " ", "_") }
