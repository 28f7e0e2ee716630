package proxies

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// proxy is a program that asks, and its configuration around the one of docs/http.md.
type proxy struct {
	program, language string
	file              func(directory, documented string) string
	arguments         func(file string) []string
}

var proxies = []proxy{
	{
		"nginx", "nginx",
		func(directory, documented string) string {
			temporary := ""
			for _, of := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
				temporary += fmt.Sprintf("%s_temp_path %s/%s;\n", of, directory, of)
			}
			return fmt.Sprintf("daemon off;\nmaster_process off;\npid %s/pid;\nerror_log %s/log;\nevents {}\nhttp {\naccess_log off;\n%s%s}\n",
				directory, directory, temporary, documented)
		},
		func(file string) []string { return []string{"-e", filepath.Dir(file) + "/log", "-c", file} },
	},
	{
		"caddy", "caddyfile",
		func(_, documented string) string { return "{\nadmin off\nauto_https off\n}\n" + documented },
		func(file string) []string { return []string{"run", "--adapter", "caddyfile", "--config", file} },
	},
}

// start runs the proxy as a user without rights until the test ends, and returns its address.
func (p proxy) start(t *testing.T, ask, service string) string {
	t.Helper()
	program, err := exec.LookPath(p.program)
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/" + p.program)
	}
	if err != nil {
		t.Fatalf("%s is not installed (Debian: apt-get install %s): %v", p.program, p.program, err)
	}
	listener := testkit.Value(new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	address := listener.Addr().String()
	testkit.Must(t, listener.Close())
	_, port, _ := net.SplitHostPort(address)

	page := string(testkit.Value(os.ReadFile("../../docs/http.md"))(t))
	documented := regexp.MustCompile("(?s)```" + p.language + "\n(.*?)```").FindStringSubmatch(page)[1]
	documented = strings.NewReplacer("127.0.0.1:8081", ask, "127.0.0.1:8080", service, ":8000", ":"+port).Replace(documented)

	directory := testkit.Value(os.MkdirTemp("", "proxy"))(t) //nolint:usetesting // the proxy's user cannot enter t.TempDir
	file := filepath.Join(directory, "config")
	testkit.Must(t, os.WriteFile(file, []byte(p.file(directory, documented)), 0o644))
	command := exec.Command(program, p.arguments(file)...) //nolint:noctx // ended below, in order
	command.Dir = directory
	command.Env = []string{"HOME=" + directory, "PATH=" + os.Getenv("PATH")}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		const nobody = 65534
		testkit.Must(t, os.Chown(directory, nobody, nobody))
		command.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	testkit.Must(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(directory, "log"))
			t.Logf("%s:\n%s%s", p.program, output.String(), log)
		}
		testkit.Must(t, os.RemoveAll(directory))
	})
	testkit.Eventually(t, p.program+" listens", func() bool {
		conn, err := net.Dial("tcp", address) //nolint:noctx // on this machine
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return address
}

const issuer = "https://app.example"

// mint signs a token. An empty id leaves jti out.
func mint(tb testing.TB, id string) string {
	tb.Helper()
	if id != "" {
		id = fmt.Sprintf(`,"jti":%q`, id)
	}
	return testkit.SignRaw(tb, "ES256", `{"alg":"ES256","typ":"at+jwt"}`, fmt.Sprintf(
		`{"iss":%q,"sub":"a,d\na","iat":%d,"exp":%d%s}`, issuer, time.Now().Add(-time.Minute).Unix(), time.Now().Add(time.Hour).Unix(), id))
}

// answer is what a client gets.
type answer struct {
	status int
	header http.Header
	body   string
}

// TestProxies asks through real proxies, in front of a service that writes what it is told
// of the token.
func TestProxies(t *testing.T) {
	t.Parallel()
	for _, p := range proxies {
		t.Run(p.program, func(t *testing.T) {
			t.Parallel()
			var frozen atomic.Bool
			pool := pgserver.Pool(t, pgserver.Database(t), func(config *pgxpool.Config) {
				dial := config.ConnConfig.DialFunc
				config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := dial(ctx, network, address)
					if err != nil {
						return nil, err
					}
					return testkit.SilentConn{Conn: conn, Silent: &frozen}, nil
				}
			})
			store := testkit.OpenStore(t, pool, revoke.WithCheckTimeout(500*time.Millisecond))
			validator := testkit.Value(revoke.NewValidator(store, issuer, revoke.AnyAudience(), testkit.Keyfunc("ES256"), []string{"ES256"},
				revoke.WithOptionalID()))(t)
			guard := testkit.Value(revokehttp.NewGuard(validator, revokehttp.WithCookie("session", "/")))(t)
			ask := httptest.NewServer(testkit.Value(guard.ForwardAuth("X-Forwarded-Method", "X-Forwarded-Host"))(t))
			t.Cleanup(ask.Close)
			var calls atomic.Int32
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				_, _ = fmt.Fprint(w, strings.Join(r.Header.Values("X-Auth-Issuer"), "|"), " ", strings.Join(r.Header.Values("X-Auth-Subject"), "|"),
					" ", strings.Join(r.Header.Values("X-Auth-Token-Id"), "|"), " ", r.Method)
			}))
			t.Cleanup(service.Close)
			address := p.start(t, ask.Listener.Addr().String(), service.Listener.Addr().String())

			send := func(method string, header ...string) answer {
				t.Helper()
				r := testkit.Value(http.NewRequestWithContext(t.Context(), method, "http://"+address+"/a/page", nil))(t)
				r.Host = "app.example"
				for i := 0; i < len(header); i += 2 {
					r.Header.Add(header[i], header[i+1])
				}
				client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
				w := testkit.Value(client.Do(r))(t) //nolint:bodyclose // closed below
				defer func() { _ = w.Body.Close() }()
				return answer{w.StatusCode, w.Header, string(testkit.Value(io.ReadAll(w.Body))(t))}
			}
			alive, dead, without := mint(t, "1"), mint(t, "2"), mint(t, "")
			testkit.Must(t, store.RevokeToken(t.Context(), revoke.Token{Issuer: issuer, ID: "2"}))
			bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
			cookie := func(more ...string) []string { return append([]string{"Cookie", "__Host-session=" + alive}, more...) }
			spoof := []string{
				"X-Auth-Issuer", "eve", "X-Auth-Subject", "eve", "X-Auth-Token-Id", "eve", "X-Forwarded-Method", "GET", "X-Forwarded-Host", "eve.example",
			}
			const own, eve = "https://app.example", "https://eve.example"
			for _, c := range []struct {
				name, method string
				header       []string
				status       int
				body         string
			}{
				{"alive", "GET", bearer(alive), 200, issuer + " a%2Cd%0Aa 1 GET"},
				{"alive, and spoofed fields", "POST", append(bearer(alive), spoof...), 200, issuer + " a%2Cd%0Aa 1 POST"},
				{"without an id, and spoofed fields", "GET", append(bearer(without), spoof...), 200, issuer + " a%2Cd%0Aa  GET"},
				{"dead", "GET", bearer(dead), 401, ""},
				{"no token", "GET", nil, 401, ""},
				{"no token, and spoofed fields", "GET", spoof, 401, ""},
				{"two tokens", "GET", cookie("Cookie", "__Host-session="+without), 401, ""},
				{"cookie", "GET", cookie(), 200, issuer + " a%2Cd%0Aa 1 GET"},
				{"cookie, POST", "POST", cookie("Origin", own), 200, issuer + " a%2Cd%0Aa 1 POST"},
				{"cookie, POST from another site", "POST", cookie("Origin", eve), 403, ""},
				{"cookie, POST from another site, and spoofed fields", "POST", append(cookie("Origin", eve), spoof...), 403, ""},
				{"cookie, DELETE, cross-site", "DELETE", cookie("Sec-Fetch-Site", "cross-site"), 403, ""},
				{"cookie, a WebSocket from another site", "GET", cookie("Origin", eve, "Connection", "Upgrade", "Upgrade", "websocket",
					"Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw==", "Sec-WebSocket-Version", "13"), 403, ""},
			} {
				before := calls.Load()
				w := send(c.method, c.header...)
				if w.status != c.status || c.status == 200 && w.body != c.body {
					t.Errorf("%s: %d %q, want %d %q", c.name, w.status, w.body, c.status, c.body)
				}
				if passed := calls.Load() != before; passed != (c.status == 200) {
					t.Errorf("%s: passed on %v", c.name, passed)
				}
				if c.status == 401 && !strings.HasPrefix(w.header.Get("WWW-Authenticate"), `Bearer realm="api"`) {
					t.Errorf("%s: WWW-Authenticate is %q", c.name, w.header.Get("WWW-Authenticate"))
				}
			}
			frozen.Store(true)
			before := calls.Load()
			if w := send("GET", bearer(alive)...); w.status != http.StatusServiceUnavailable || w.header.Get("Retry-After") != "5" || calls.Load() != before {
				t.Errorf("a frozen Postgres: %d, Retry-After %q, passed on %v", w.status, w.header.Get("Retry-After"), calls.Load() != before)
			}
			frozen.Store(false)
			testkit.Eventually(t, "Postgres answers again", func() bool { return send("GET", bearer(alive)...).status == http.StatusOK })
			ask.Close()
			if w := send("GET", bearer(alive)...); w.status < 500 {
				t.Errorf("no guard: %d", w.status)
			}
		})
	}
}
