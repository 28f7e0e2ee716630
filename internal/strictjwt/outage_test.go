package strictjwt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// impatient is a net.Error of an app.
type impatient bool

func (impatient) Error() string   { return "an app's own" }
func (i impatient) Timeout() bool { return bool(i) }
func (impatient) Temporary() bool { return true }

// pqError has the method by which lib/pq tells a SQLSTATE.
type pqError string

func (e pqError) Error() string    { return "pq: " + string(e) }
func (e pqError) SQLState() string { return string(e) }

// fetch returns the error of a GET.
func fetch(tb testing.TB, client *http.Client, address string) error {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	tb.Fatalf("GET %s: %s", address, response.Status)
	return nil
}

// TestIsOutage asks of each error itself, wrapped, and joined with another one.
func TestIsOutage(t *testing.T) {
	t.Parallel()
	type row struct {
		name string
		err  error
		want bool
	}
	rows := []row{
		{"none", errors.New("no such key"), false},
		{"context canceled", context.Canceled, true},
		{"deadline", context.DeadlineExceeded, true},
		{"dial", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, true},
		{"read", &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}, true},
		{"connection refused", syscall.ECONNREFUSED, true},
		{"broken pipe", os.NewSyscallError("write", syscall.EPIPE), true},
		{"no file descriptors left", &fs.PathError{Op: "open", Path: "key.pem", Err: syscall.EMFILE}, true},
		{"name not found", &net.DNSError{Err: "no such host", IsNotFound: true}, true},
		{"name server fails", &net.DNSError{Err: "server misbehaving", IsTemporary: true}, true},
		{"a timeout of the app's", impatient(true), true},
		{"an error of the app's without a timeout", impatient(false), false},
		{"a deadline of a connection", os.ErrDeadlineExceeded, true},
		{"a closed connection", net.ErrClosed, true},
		{"a connection that ended early", fmt.Errorf("receive: %w", io.ErrUnexpectedEOF), true},
		{"the end of a text", io.EOF, false},
		{"a request that found the end", &url.Error{Op: "Get", URL: "https://id.example/keys", Err: io.EOF}, true},
		{"a request that timed out", &url.Error{Op: "Get", URL: "https://id.example/keys", Err: impatient(true)}, true},
		{"a request that failed otherwise", &url.Error{Op: "Get", URL: "https://id.example/keys", Err: errors.New("malformed HTTP response")}, true},
		{"certificate", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, true},
		{"no TLS", tls.RecordHeaderError{Msg: "x"}, true},
		{"alert", tls.AlertError(40), true},
		{"a URL without a scheme", &url.Error{Op: "Get", URL: "keys", Err: errors.New(`unsupported protocol scheme ""`)}, false},
		{"a URL of another scheme", &url.Error{Op: "Get", URL: "file:///dev/null", Err: errors.New("unsupported protocol scheme")}, false},
		{"a URL without a host", &url.Error{Op: "Get", URL: "http://", Err: errors.New("no Host in request URL")}, false},
		{"a URL that ended with its context", &url.Error{Op: "Get", URL: "keys", Err: context.DeadlineExceeded}, true},
		{"a port that is none", &url.Error{Op: "Get", URL: "http://a:1", Err: &net.OpError{Op: "dial", Err: &net.AddrError{Err: "invalid port"}}}, false},
		{"an address", &net.AddrError{Err: "missing port in address", Addr: "x"}, false},
		{"an address to dial", &net.OpError{Op: "dial", Err: &net.AddrError{Err: "missing port"}}, false},
		{"an IP address", &net.ParseError{Type: "IP address", Text: "x"}, false},
		{"a network", net.UnknownNetworkError("tcp9"), false},
		{"no such file", &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, false},
		{"no permission", &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, false},
		{"a directory", &fs.PathError{Op: "read", Path: "/", Err: syscall.EISDIR}, false},
		{"a path with NUL", &fs.PathError{Op: "open", Path: "\x00", Err: syscall.EINVAL}, false},
		{"a name that is too long", &fs.PathError{Op: "open", Path: "x", Err: syscall.ENAMETOOLONG}, false},
		{"JSON", &json.SyntaxError{}, false},
		{"no rows in pgx", pgx.ErrNoRows, false},
		{"no rows in database/sql", sql.ErrNoRows, false},
		{"a bad connection", driver.ErrBadConn, true},
		{"a connection that was given back", sql.ErrConnDone, true},
		{"a connection that pgx closed", pgconn.ErrConnClosed, true},
		{"lib/pq 53300", pqError("53300"), true},
		{"lib/pq 22P02", pqError("22P02"), false},
		{"no SQLSTATE", pqError(""), false},
		{"a NUL in the simple protocol", &pgconn.PgError{Code: "08P01", Routine: "pq_getmsgend"}, false},
	}
	for code, want := range map[string]bool{
		"08000": true, "08006": true, "08P01": true, "25006": true, "25P03": true, "28000": true, "28P01": true, "40001": true, "40P01": true,
		"53000": true, "53100": true, "53200": true, "53300": true, "53400": true, "55P03": true, "57000": true, "57014": true, "57P01": true,
		"57P02": true, "57P03": true, "57P04": true, "57P05": true, "58000": true, "58030": true, "XX000": true, "XX001": true, "XX002": true,
		"3D000": true, "3F000": true, "42P01": true, "42703": true, "42883": true, "42501": true, "26000": true, "42P05": true, "0A000": true,
		"22021": false, "22P02": false, "22003": false, "42601": false, "23505": false, "P0001": false, "P0002": false,
	} {
		rows = append(rows, row{"SQLSTATE " + code, &pgconn.PgError{Code: code}, want})
	}

	// And as they come.
	refused := httptest.NewServer(http.NotFoundHandler())
	refused.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(silent.Close)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(slow.Close)
	secured := httptest.NewUnstartedServer(http.NotFoundHandler())
	secured.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	secured.StartTLS()
	t.Cleanup(secured.Close)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, r := range []struct {
		name, address string
		client        *http.Client
		want          bool
	}{
		{"refused", refused.URL, client, true},
		{"aborted", silent.URL, client, true},
		{"slow", slow.URL, &http.Client{Transport: client.Transport, Timeout: 20 * time.Millisecond}, true},
		{"untrusted", secured.URL, client, true},
		{"plain", strings.Replace(silent.URL, "http:", "https:", 1), client, true},
		{"no scheme", "keys/1", client, false},
		{"another scheme", "ftp://127.0.0.1/", client, false},
		{"no host", "http:///keys", client, false},
		{"a control character", "http://127.0.0.1/\x7f", client, false},
		{"an escape", "http://127.0.0.1/%zz", client, false},
		{"a port", "http://127.0.0.1:99999/", client, false},
	} {
		rows = append(rows, row{"GET/" + r.name, fetch(t, r.client, r.address), r.want})
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(refused.URL, "http://"))
	must(t, err)
	dsn := fmt.Sprintf("postgres://nobody@%s:%s/nothing?sslmode=disable", host, port)
	_, connecting := pgconn.Connect(t.Context(), dsn)
	_, parsing := pgconn.Connect(t.Context(), "postgres://%zz")
	pool, err := pgxpool.New(t.Context(), dsn)
	must(t, err)
	pool.Close()
	config, err := pgx.ParseConfig(dsn)
	must(t, err)
	db := stdlib.OpenDB(*config)
	must(t, db.Close())
	_, missing := os.ReadFile(t.TempDir() + "/../../no such key")
	_, scanned := fmt.Sscanf("x", "%d", new(int))
	rows = append(rows,
		row{"pgx does not connect", connecting, true}, row{"pgx does not understand the DSN", parsing, false},
		row{"a closed pgxpool", pool.Ping(t.Context()), true}, row{"a closed database/sql", db.PingContext(t.Context()), true},
		row{"a path", missing, false}, row{"a scanned kid", scanned, false},
	)

	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for _, err := range []error{
				r.err, fmt.Errorf("keys: %w", r.err), errors.Join(errors.New("one"), fmt.Errorf("%w: %w", errors.New("two"), r.err)), &KeyError{r.err},
			} {
				if err == nil || IsOutage(err) != r.want {
					t.Errorf("%T %v: %v, want %v", err, err, !r.want, r.want)
				}
			}
		})
	}
	if IsOutage(nil) {
		t.Error("no error is an outage")
	}
}
