package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// startRedis starts a Redis that writes nothing to disk, and returns the path of its socket, and
// the clock of its processor time. It is stopped at the end of the benchmark.
func startRedis(b *testing.B) (socket string, spent clock) {
	b.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		b.Fatalf("redis-server is not installed (Debian: apt-get install redis-server): %v", err)
	}
	socket = filepath.Join(b.TempDir(), "redis.sock")
	server := exec.CommandContext(context.Background(), path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no")
	testkit.Must(b, server.Start())
	b.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	return socket, func() time.Duration { return spentBy(server.Process.Pid) }
}

// newGoRedis returns a client that has connected.
func newGoRedis(b *testing.B, network, address string) *redis.Client {
	b.Helper()
	client := redis.NewClient(&redis.Options{Network: network, Addr: address, PoolSize: connections})
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

// printVersions prints the versions of the servers, in the form of the lines of configuration
// that "go test -bench" prints.
func printVersions(b *testing.B, pool *pgxpool.Pool, client *redis.Client) {
	b.Helper()
	var version string
	testkit.Must(b, pool.QueryRow(b.Context(), "SELECT current_setting('server_version')").Scan(&version))
	fmt.Println("postgres:", version)
	info, err := client.Info(b.Context(), "server").Result()
	testkit.Must(b, err)
	_, after, _ := strings.Cut(info, "redis_version:")
	version, _, _ = strings.Cut(after, "\r")
	fmt.Println("redis:", version)
}

// newAutoPipeline returns a client of go-redis that pipelines the commands of concurrent
// callers. go-redis calls it experimental.
func newAutoPipeline(b *testing.B, client *redis.Client) redis.Cmdable {
	b.Helper()
	pipeline, err := client.AutoPipeline()
	testkit.Must(b, err)
	b.Cleanup(func() { _ = pipeline.Close() })
	return pipeline
}

// fillRedis writes n revoked tokens and n epochs as an app keeps them in Redis: keys with a
// time to live.
func fillRedis(b *testing.B, client *redis.Client, n int) {
	b.Helper()
	const batch = 10_000
	for first := 0; first < n; first += batch {
		_, err := client.Pipelined(b.Context(), func(p redis.Pipeliner) error {
			for i := first; i < min(n, first+batch); i++ {
				p.Set(b.Context(), fmt.Sprint("revoked:token-", i), "1", time.Hour)
				p.Set(b.Context(), fmt.Sprint("epoch:user-", i), "0", time.Hour)
			}
			return nil
		})
		testkit.Must(b, err)
	}
}

var errRevoked = errors.New("revoked")

// judge compares the token with its user's epoch, which is empty where there is none.
func judge(r *request, epoch string) error {
	if epoch == "" {
		return nil
	}
	before, err := strconv.ParseInt(epoch, 10, 64)
	if err == nil && r.token.IssuedAt.Unix() < before {
		err = errRevoked
	}
	return err
}

// existsThenGet asks for the token, and then for the user's epoch.
func existsThenGet(client *redis.Client) func(context.Context, *request) error {
	return func(ctx context.Context, r *request) error {
		n, err := client.Exists(ctx, "revoked:"+r.token.ID).Result()
		if err != nil {
			return err
		}
		if n > 0 {
			return errRevoked
		}
		epoch, err := client.Get(ctx, "epoch:"+r.token.Subject).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		return judge(r, epoch)
	}
}

// mgetAll asks for the four keys that Postgres is asked for: of the token, its session, its
// user and its issuer.
func mgetAll(client redis.Cmdable) func(context.Context, *request) error {
	return func(ctx context.Context, r *request) error {
		values, err := client.MGet(ctx, "revoked:"+r.token.ID, "session:"+r.token.SessionID,
			"epoch:"+r.token.Subject, "issuer:"+r.token.Issuer).Result()
		if err != nil {
			return err
		}
		return judgeAll(r, values[:2], values[2:])
	}
}

func judgeAll(r *request, marks, epochs []any) error {
	for _, mark := range marks {
		if mark != nil {
			return errRevoked
		}
	}
	for _, epoch := range epochs {
		if epoch, ok := epoch.(string); ok {
			if err := judge(r, epoch); err != nil {
				return err
			}
		}
	}
	return nil
}
